"""Splits that a structure keeps for as long as a campaign lasts: a hash decides, not a shuffle."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import SPLITS

__all__ = ('MIN_GROUPS', 'check_fractions', 'hashed_splits', 'stratified_splits')

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
    check_fractions(fractions)
    keys = groups if len(set(groups.tolist())) >= MIN_GROUPS else identifiers
    edges = np.cumsum(fractions)[:-1]
    positions = [_unit_interval(f'{seed}:{key}') for key in keys.tolist()]
    return np.searchsorted(edges, positions, side='right').astype(np.int8)


def _unit_interval(text: str) -> float:
    """Return a number in [0, 1) that depends on ``text`` only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], 'big') / 2**48


def stratified_splits(
    groups: NDArray[np.str_], classes: NDArray[np.str_], *, fractions: tuple[float, ...], seed: int
) -> NDArray[np.int8]:
    """Assign whole groups to splits so that every class is shared out in the given proportions.

    Within a class the groups are taken in the order of their hashes, each to the split that is furthest behind its
    share; the order of the structures does not matter. Unlike :func:`hashed_splits` it may reassign a group when
    the set grows, so that it suits only sets that are made once.

    :param groups: reduced formulas, shape (n,).
    :param classes: class of each structure, the same within a group, shape (n,).
    :param fractions: shares of ``SPLITS``, summing to 1.
    :returns: indices into ``SPLITS``, shape (n,).
    :raises InvalidInputError: if the fractions do not match or do not sum to 1, or a group has two classes.
    """
    check_fractions(fractions)
    sizes: dict[str, int] = {}
    class_of: dict[str, str] = {}
    for group, name in zip(groups.tolist(), classes.tolist(), strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        if class_of.setdefault(group, name) != name:
            message = f'group `{group}` has the classes `{class_of[group]}` and `{name}`'
            raise InvalidInputError(message)
    assigned: dict[str, int] = {}
    for name in sorted(set(class_of.values())):
        filled = np.zeros(len(SPLITS))
        members = sorted((group for group in class_of if class_of[group] == name), key=lambda g: _order(g, seed))
        total = sum(sizes[group] for group in members)
        for group in members:
            behind = np.array(fractions) * total - filled
            index = int(np.argmax(np.where(np.array(fractions) > 0, behind, -np.inf)))
            assigned[group] = index
            filled[index] += sizes[group]
    return np.array([assigned[group] for group in groups.tolist()], dtype=np.int8)


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Check the shares of ``SPLITS``.

    :raises InvalidInputError: if they do not match or do not sum to 1.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        message = f'fractions must be {len(SPLITS)} shares that sum to 1, got {fractions}'
        raise InvalidInputError(message)


def _order(group: str, seed: int) -> tuple[float, str]:
    return _unit_interval(f'{seed}:{group}'), group
