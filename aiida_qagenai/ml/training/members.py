"""What a member of the ensemble starts from: its bootstrap sample, and the element references of that sample.

Every key (a formula group, or a structure) gets for each member a multiplicity drawn from a Poisson distribution of
mean 1, by a hash of the key: a Poisson bootstrap. A structure that a member did not see in its first training is not
seen by it in any later one either, so that its error there remains an honest held-out error.

The references on every level come from hierarchical ridge regression. The labels are formation energies, so that they
only take up what is left of the systematic difference between levels. Where a structure carries labels on two levels,
their difference is fitted: a high level computed only for low-energy structures must not shift its references.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.exchange.dataset import LabelledBatch

__all__ = (
    'MIN_GROUPS',
    'bootstrap_keys',
    'enough_groups',
    'fit_references',
    'multiplicities',
    'nearest_label',
    'ridge_solution',
)

MIN_GROUPS = 10
"""With fewer formula groups than this, structures are resampled instead."""

MIN_LABELS = 2
"""A member that would see fewer labels of a level than this sees all of them."""

RIDGE = 0.1
"""Strength of the shrinkage: the weight of this many labels of a pure element."""

# P(X ≤ k) for a Poisson variable of mean 1, k = 0 … 5; what lies above counts as 6.
_POISSON = np.cumsum([np.exp(-1.0) / float(factorial) for factorial in (1, 1, 2, 6, 24, 120)])


def enough_groups(dataset: LabelledBatch) -> bool:
    """Return whether a first training resamples formula groups (else structures); later ones keep to its choice."""
    return len(np.unique(dataset.groups)) >= MIN_GROUPS


def bootstrap_keys(dataset: LabelledBatch, by_group: bool) -> list[str]:
    """Return the key of each row: its formula group or its structure's identifier."""
    return [str(key) for key in (dataset.groups if by_group else dataset.structures.identifiers)]


def multiplicities(
    keys: Sequence[str], energies: NDArray[np.float64], *, num_members: int, seed: int
) -> NDArray[np.int64]:
    """Return how often each member sees each row, shape (members, n).

    :param keys: key of each row; rows of one key go together.
    :param energies: labels, shape (n, levels), NaN where missing.
    """
    counts = np.zeros((num_members, len(keys)), dtype=np.int64)
    for member in range(num_members):
        for row, key in enumerate(keys):
            digest = hashlib.sha256(f'{seed}/{member}/{key}'.encode()).digest()
            uniform = int.from_bytes(digest[:8], 'big') / 2**64
            counts[member, row] = np.searchsorted(_POISSON, uniform, side='right')
        for level in range(energies.shape[1]):
            labelled = np.isfinite(energies[:, level])
            if (counts[member, labelled] > 0).sum() < MIN_LABELS:
                counts[member, labelled] = np.maximum(counts[member, labelled], 1)
    return counts


def fit_references(
    fractions: NDArray[np.float64],
    energies: NDArray[np.float64],
    ridge: float = RIDGE,
    *,
    parents: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Return the references E0, shape (levels, elements), eV.

    The root minimises Σ (e − x·E0)² + ridge ‖E0‖². Level l minimises Σ (e' − x·E0_l)² + ridge ‖E0_l − E0_k‖²
    where k is its parent and e' is the label e_l itself or, if the structure has a label on an ancestor m,
    (e_l − e_m) + x·E0_m. A level without labels gets the references of its parent.

    :param fractions: atomic fractions x, shape (n, elements).
    :param energies: labels, shape (n, levels), eV/atom, NaN where missing.
    :param parents: parent of each level, −1 for the root; by default each stands on the one before.
    """
    num_levels, num_elements = energies.shape[1], fractions.shape[1]
    parents = range(-1, num_levels - 1) if parents is None else parents
    references = np.zeros((num_levels, num_elements))
    for level, parent in enumerate(parents):
        below = references[parent] if parent >= 0 else np.zeros(num_elements)
        rows = np.flatnonzero(np.isfinite(energies[:, level]))
        x = fractions[rows]
        targets = energies[rows, level].copy()
        for place, row in enumerate(rows):
            lower = nearest_label(energies[row], level, parents)
            if lower >= 0:
                targets[place] += x[place] @ references[lower] - energies[row, lower]
        references[level] = below + ridge_solution(x, targets - x @ below, ridge)
    return references


def nearest_label(energies: NDArray[np.float64], level: int, parents: Sequence[int]) -> int:
    """Return the nearest ancestor of ``level`` with a label among those of one structure, shape (levels,), or −1."""
    lower = parents[level]
    while lower >= 0 and not np.isfinite(energies[lower]):
        lower = parents[lower]
    return lower


def ridge_solution(x: NDArray[np.float64], targets: NDArray[np.float64], ridge: float = RIDGE) -> NDArray[np.float64]:
    """Return d that minimises Σ (e − x·d)² + ridge ‖d‖², shape (elements,)."""
    return np.asarray(np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ targets), dtype=np.float64)
