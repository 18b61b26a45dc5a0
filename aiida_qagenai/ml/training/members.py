"""What a member of the ensemble starts from: its bootstrap sample, and the element references of that sample.

Every key (a formula group, a prototype, or a structure) gets for each member a multiplicity drawn from a Poisson
distribution of mean 1, by a hash of the key: a Poisson bootstrap. A structure that a member did not see in its first
training is not seen by it in any later one either, so that its error there remains an honest held-out error.

The references on every level come from hierarchical ridge regression. The labels are formation energies, so that they
only take up what is left of the systematic difference between levels. Where a structure carries labels on two levels,
their difference is fitted: a high level computed only for low-energy structures must not shift its references.
"""

from __future__ import annotations

import hashlib
import importlib.util
import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import LabelledBatch

__all__ = (
    'Unit',
    'bootstrap_keys',
    'bootstrap_unit',
    'fit_references',
    'multiplicities',
    'nearest_label',
    'ridge_solution',
)

MIN_GROUPS = 10
"""With fewer formula groups than this, prototypes are resampled instead."""

MIN_PROTOTYPES = 5
"""With fewer prototypes than this, structures are."""

Unit = t.Literal['group', 'prototype', 'structure']

MIN_LABELS = 2
"""A member that would see fewer labels of a level than this sees all of them."""

RIDGE = 0.1
"""Strength of the shrinkage: the weight of this many labels of a pure element."""

# P(X ≤ k) for a Poisson variable of mean 1, k = 0 … 5; what lies above counts as 6.
_POISSON = np.cumsum([np.exp(-1.0) / float(factorial) for factorial in (1, 1, 2, 6, 24, 120)])


def bootstrap_unit(dataset: LabelledBatch) -> Unit:
    """Return what a first training resamples; later ones keep to its choice.

    Formula groups where there are enough. With few formulas, prototypes: if strained copies of one crystal were drawn
    one by one, errors out of the bag would be those of near-duplicates. Structures only where there are few of both.
    """
    if len(np.unique(dataset.groups)) >= MIN_GROUPS:
        return 'group'
    return 'prototype' if len(set(bootstrap_keys(dataset, 'prototype'))) >= MIN_PROTOTYPES else 'structure'


def bootstrap_keys(dataset: LabelledBatch, unit: Unit) -> list[str]:
    """Return the key of each row: its formula group, the first structure of its prototype, or its own identifier.

    A prototype, here, are structures of one formula that pymatgen's matcher maps onto each other, whatever their
    volume, strain or small displacements. New rows behind the others leave the keys of these as they are.

    :raises InvalidInputError: if prototypes are asked for where pymatgen is not installed.
    """
    names = dataset.structures.identifiers
    if unit == 'prototype':
        if importlib.util.find_spec('pymatgen') is None:
            message = 'a training on few formulas compares structures with pymatgen: pip install pymatgen'
            raise InvalidInputError(message)
        from aiida_qagenai.chemistry.duplicates import find_duplicates

        clusters = find_duplicates(dataset.structures.structures(), distortions=False)
        return [str(names[clusters.representatives[label]]) for label in clusters.labels]
    return [str(key) for key in (dataset.groups if unit == 'group' else names)]


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
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the references E0, shape (levels, elements), eV.

    The root minimises Σ (e − x·E0)² + ridge ‖E0‖². Level l minimises Σ (e' − x·E0_l)² + ridge ‖E0_l − E0_k‖²
    where k is its parent and e' is the label e_l itself or, if the structure has a label on an ancestor m,
    (e_l − e_m) + x·E0_m. A level without labels gets the references of its parent.

    :param fractions: atomic fractions x, shape (n, elements).
    :param energies: labels, shape (n, levels), eV/atom, NaN where missing.
    :param parents: parent of each level, −1 for the root; by default each stands on the one before.
    :param weights: of the labels in these sums, shape (n, levels); 1 by default.
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
        counted = None if weights is None else weights[rows, level]
        references[level] = below + ridge_solution(x, targets - x @ below, ridge, counted)
    return references


def nearest_label(energies: NDArray[np.float64], level: int, parents: Sequence[int]) -> int:
    """Return the nearest ancestor of ``level`` with a label among those of one structure, shape (levels,), or −1."""
    lower = parents[level]
    while lower >= 0 and not np.isfinite(energies[lower]):
        lower = parents[lower]
    return lower


def ridge_solution(
    x: NDArray[np.float64],
    targets: NDArray[np.float64],
    ridge: float = RIDGE,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return d that minimises Σ w (e − x·d)² + ridge ‖d‖², shape (elements,), with w = 1 by default."""
    weighted = x if weights is None else x * weights[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ x + ridge * np.eye(x.shape[1]), weighted.T @ targets), np.float64)
