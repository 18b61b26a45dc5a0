"""The linear programme behind a distance to the hull (paper Algorithm 2, line 4), by the revised simplex method.

min Σ c_j y_j subject to Σ a_j y_j = x, y ≥ 0, where a_j are the atomic fractions of phase j over the k elements of the
candidate. With k rows and the pure elements as the first basis, an iteration is one product of a k-vector with the
k × m matrix of fractions, and no facet of the hull is built: their number is what makes hulls of many elements slow.
"""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

__all__ = ('Solution', 'solve')

OPTIMALITY = 1e-11
"""Reduced costs above minus this are optimal, in units of the largest cost after element energies are removed."""

FEASIBILITY = 1e-9
"""Largest weight of an artificial phase in a feasible solution."""

BLAND_AFTER = 100
MAX_ITERATIONS = 10_000


class Solution(t.NamedTuple):
    """An optimal mixture.

    :param cost: Σ c_j y_j.
    :param columns: indices of the phases in the optimal basis, shape (k,).
    :param weights: their weights y, shape (k,).
    :param potentials: the dual variables: the chemical potentials of the elements, shape (k,).
    """

    cost: float
    columns: NDArray[np.int64]
    weights: NDArray[np.float64]
    potentials: NDArray[np.float64]


def solve(
    fractions: NDArray[np.float64],
    costs: NDArray[np.float64],
    target: NDArray[np.float64],
    start: NDArray[np.int64] | None = None,
) -> Solution | None:
    """Return the cheapest mixture of phases with the composition ``target``, or ``None`` if there is none.

    :param fractions: atomic fractions of the phases, shape (k, m).
    :param costs: energies per atom, shape (m,).
    :param target: atomic fractions of the candidate, all positive, shape (k,).
    :param start: the k columns of an earlier solution for the same fractions and target: it is feasible whatever the
        costs, and near the optimum where they changed little.
    :raises ArithmeticError: if the method does not converge (a bug, not an input).
    """
    rows, columns = fractions.shape
    # an artificial phase per element, for elements without a phase of their own
    extended = np.concatenate([fractions, np.eye(rows)], axis=1)
    basis, references = _first_basis(fractions, costs)
    if start is not None and len(start) == rows:
        basis = start
    elif (basis >= columns).any():
        feasibility = np.concatenate([np.zeros(columns), np.ones(rows)])
        basis = _iterate(extended, feasibility, target, basis, allowed=columns + rows)
        weights = np.linalg.solve(extended[:, basis], target)
        if weights[basis >= columns].sum() > FEASIBILITY:
            return None
    # total energies of 1e4 eV/atom keep their digits when the elements are taken out
    relative = costs - references @ fractions
    # an artificial phase left in the basis has no weight and must not gain any: it is made too dear
    dear = np.full(rows, 1e3 * (1.0 + float(np.abs(relative).max(initial=0.0))))
    all_costs = np.concatenate([relative, dear])
    basis = _iterate(extended, all_costs, target, basis, allowed=columns)
    weights = np.linalg.solve(extended[:, basis], target)
    potentials = np.linalg.solve(extended[:, basis].T, all_costs[basis]) + references
    real = basis < columns
    return Solution(float(weights[real] @ costs[basis[real]]), basis[real], weights[real], potentials)


def _first_basis(
    fractions: NDArray[np.float64], costs: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cheapest phase of each pure element, or the column of its artificial phase, and their costs or 0."""
    rows, columns = fractions.shape
    basis = np.arange(columns, columns + rows)
    references = np.zeros(rows)
    pure = np.flatnonzero(fractions.max(axis=0, initial=0.0) > 1 - 1e-12)
    for column in pure[np.argsort(-costs[pure], kind='stable')]:
        element = int(fractions[:, column].argmax())
        basis[element], references[element] = column, costs[column]
    return basis, references


def _iterate(
    matrix: NDArray[np.float64],
    costs: NDArray[np.float64],
    target: NDArray[np.float64],
    basis: NDArray[np.int64],
    allowed: int,
) -> NDArray[np.int64]:
    """Return the optimal basis, starting from the feasible ``basis``; only the first ``allowed`` columns may enter."""
    basis = basis.copy()
    tolerance = OPTIMALITY * (1.0 + float(np.abs(costs[:allowed]).max(initial=0.0)))
    for iteration in range(MAX_ITERATIONS):
        inverse = np.linalg.inv(matrix[:, basis])
        reduced = costs[:allowed] - (costs[basis] @ inverse) @ matrix[:, :allowed]
        reduced[basis[basis < allowed]] = 0.0
        entering = int(reduced.argmin())
        if reduced[entering] >= -tolerance:
            return basis
        bland = iteration > BLAND_AFTER  # the smallest index cannot cycle
        if bland:
            entering = int(np.flatnonzero(reduced < -tolerance)[0])
        direction = inverse @ matrix[:, entering]
        weights = np.maximum(inverse @ target, 0.0)
        ratios = np.full(len(basis), np.inf)
        positive = direction > 1e-11
        ratios[positive] = weights[positive] / direction[positive]
        ties = np.flatnonzero(ratios <= ratios.min() + 1e-14)
        # of equal ratios the largest pivot is the most accurate
        leaving = ties[basis[ties].argmin()] if bland else ties[direction[ties].argmax()]
        basis[leaving] = entering
    raise ArithmeticError(f'the simplex method did not converge in {MAX_ITERATIONS} iterations')
