"""The Pareto front: what nothing else beats in every respect."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ('pareto_front',)


def pareto_front(values: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows no other row dominates: none is at most as large everywhere and smaller somewhere.

    :param values: what is to be small, shape (n, k). A row with NaN is not on the front and dominates nothing.
    :returns: shape (n,); of equal rows, all or none are on it.
    """
    table: NDArray[np.float64] = np.atleast_2d(np.asarray(values, dtype=np.float64))
    known: NDArray[np.bool_] = np.asarray(np.isfinite(table).all(axis=1))
    front: NDArray[np.bool_] = known.copy()
    for row in t.cast(list[int], np.flatnonzero(known).tolist()):
        dominates = known & (table <= table[row]).all(axis=1) & (table < table[row]).any(axis=1)
        front[row] = not dominates.any()
    return front
