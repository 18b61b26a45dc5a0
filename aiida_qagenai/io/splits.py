"""Splits that a structure keeps for as long as a campaign lasts: a hash decides, not a shuffle."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.io.dataset import SPLITS

__all__ = ('MIN_GROUPS', 'hashed_splits')

MIN_GROUPS = 20
"""Fewer groups than this cannot be spread over the splits: then structures are, and the split may share formulas."""


def hashed_splits(
    identifiers: NDArray[np.str_], groups: NDArray[np.str_], *, fractions: tuple[float, ...], seed: int
) -> NDArray[np.int8]:
    """Assign every structure to a split by the hash of its group, or of its own name where groups are few.

    A campaign in one binary system has a handful of formulas; splitting by formula would put whole compositions
    aside. From ``MIN_GROUPS`` groups on, all structures of one group share a split.

    :param identifiers: names, shape (n,).
    :param groups: reduced formulas, shape (n,).
    :param fractions: shares of ``SPLITS``, summing to 1.
    :returns: indices into ``SPLITS``, shape (n,).
    :raises InvalidInputError: if the fractions do not match or do not sum to 1.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        message = f'fractions must be {len(SPLITS)} shares that sum to 1, got {fractions}'
        raise InvalidInputError(message)
    keys = groups if len(set(groups.tolist())) >= MIN_GROUPS else identifiers
    edges = np.cumsum(fractions)[:-1]
    positions = [_unit_interval(f'{seed}:{key}') for key in keys.tolist()]
    return np.searchsorted(edges, positions, side='right').astype(np.int8)


def _unit_interval(text: str) -> float:
    """Return a number in [0, 1) that depends on ``text`` only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], 'big') / 2**48
