"""Reduced cells in numpy, and all settings of a cell that are equivalent to the reduced one.

The reduced form is Niggli's (International Tables A, 3.1.3) up to near-ties: strain makes its choice between nearly
equal settings arbitrary, so that training draws one of them at random each time.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ('equivalent_settings', 'reduce_cell', 'shortest_basis')

TOLERANCE = 0.02
MAX_SETTINGS = 48


def shortest_basis(cell: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the integer matrix M, det M = ±1, so that M @ cell has the three shortest possible lattice vectors.

    Each vector is shortened by integer multiples of the two others until none can be (Minkowski reduction).

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    """
    transform = np.eye(3, dtype=np.int64)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=2) if any(step)]
    for _ in range(1000):
        changed = False
        for i in range(3):
            j, k = (axis for axis in range(3) if axis != i)
            for other in (j, k):
                vectors = transform @ cell
                multiple = round(float(vectors[i] @ vectors[other] / (vectors[other] @ vectors[other])))
                if multiple:
                    transform[i] -= multiple * transform[other]
                    changed = True
            vectors = transform @ cell
            for m, n in steps:
                trial = transform[i] + m * transform[j] + n * transform[k]
                if np.linalg.norm(trial @ cell) < np.linalg.norm(vectors[i]) * (1 - 1e-9):
                    transform[i] = trial
                    changed = True
                    break
        if not changed:
            break
    return transform


def reduce_cell(
    cell: NDArray[np.float64], fractional: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same crystal with its shortest lattice vectors, a along x and b in the xy plane.

    A sampled cell may be as skewed as its metric happens to be. Every later step pays for that: images to search,
    points of a grid, k-points.

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    :param fractional: shape (n, 3).
    """
    transform = shortest_basis(cell)
    reduced = transform @ cell
    # The Cholesky factor of the metric is the cell up to a rotation, and right-handed.
    upright = np.linalg.cholesky(reduced @ reduced.T).astype(np.float64)
    return upright, fractional @ np.linalg.inv(transform)


def equivalent_settings(cell: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.int64]:
    """Return all integer matrices M, det M = det of the first, whose cells M @ cell are reduced within ``tolerance``.

    Reduced: lengths ascending, all angles acute or all obtuse, ``|2 b·c|`` ≤ b², ``|2 a·c|`` and ``|2 a·b|`` ≤ a². Of
    these, those with the largest sum of 2 b·c + 2 a·c + 2 a·b are kept: for a strained face-centred lattice, for
    instance, only the settings near 60°, not those near 60° and 90°. Shape (m, 3, 3), m ≥ 1, all right-handed.
    """
    start = shortest_basis(cell)
    if np.linalg.det(start @ cell) < 0:
        start = -start
    reduced = start @ cell
    metric = reduced @ reduced.T
    matrices = _unimodular()
    metrics = np.einsum('mij,jk,mlk->mil', matrices, metric, matrices)
    a, b, c = (metrics[:, i, i] for i in range(3))
    xi, eta, zeta = 2 * metrics[:, 1, 2], 2 * metrics[:, 0, 2], 2 * metrics[:, 0, 1]
    loose = 1 + tolerance
    small = tolerance * a
    acute = (xi > -small) & (eta > -small) & (zeta > -small)
    obtuse = (xi < small) & (eta < small) & (zeta < small)
    accepted = (
        (a <= b * loose)
        & (b <= c * loose)
        & (a + b + c <= np.trace(metric) * loose)
        & (abs(xi) <= b * loose)
        & (abs(eta) <= a * loose)
        & (abs(zeta) <= a * loose)
        & (acute | obtuse)
    )
    if not accepted.any():
        return start[None]
    sums = np.where(accepted, xi + eta + zeta, -np.inf)
    kept = matrices[accepted & (sums >= sums.max() - tolerance * (a + b + c))]
    return (kept @ start)[:MAX_SETTINGS]


@functools.lru_cache(maxsize=1)
def _unimodular() -> NDArray[np.int64]:
    """Return all integer matrices with entries −1, 0, 1 and determinant 1, shape (3480, 3, 3)."""
    entries = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    determinants = np.einsum('mi,mi->m', entries[:, 0], np.cross(entries[:, 1], entries[:, 2]))
    return entries[determinants == 1]
