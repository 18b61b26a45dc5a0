"""Bootstrap samples that stay the same when an ensemble is trained further.

Every key (a formula group, or a structure) gets for each member a multiplicity drawn from a Poisson distribution of
mean 1, by a hash of the key: a Poisson bootstrap. A structure that a member did not see in its first training is not
seen by it in any later one either, so that its error there remains an honest held-out error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.exchange.dataset import LabelledBatch

__all__ = ('MIN_GROUPS', 'bootstrap_keys', 'enough_groups', 'multiplicities')

MIN_GROUPS = 10
"""With fewer formula groups than this, structures are resampled instead."""

MIN_LABELS = 2
"""A member that would see fewer labels of a level than this sees all of them."""

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
