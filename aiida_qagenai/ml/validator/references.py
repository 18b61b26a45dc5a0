"""Element references on every level by hierarchical ridge regression.

The labels are formation energies, so that these references only take up what is left of the systematic difference
between levels. Where a structure carries labels on two levels, their difference is fitted: a high level computed only
for low-energy structures must not shift its references.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ('fit_references',)

RIDGE = 0.1
"""Strength of the shrinkage: the weight of this many labels of a pure element."""


def fit_references(
    fractions: NDArray[np.float64], energies: NDArray[np.float64], ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Return the references E0, shape (levels, elements), eV.

    The lowest level minimises Σ (e − x·E0)² + ridge ‖E0‖². Level l minimises Σ (e' − x·E0_l)² + ridge ‖E0_l − E0_k‖²
    where k is the level below and e' is the label e_l itself or, if the structure has a label on a lower level m,
    (e_l − e_m) + x·E0_m. A level without labels gets the references of the level below.

    :param fractions: atomic fractions x, shape (n, elements).
    :param energies: labels, shape (n, levels), eV/atom, NaN where missing.
    """
    num_levels, num_elements = energies.shape[1], fractions.shape[1]
    references = np.zeros((num_levels, num_elements))
    for level in range(num_levels):
        below = references[level - 1] if level else np.zeros(num_elements)
        rows = np.flatnonzero(np.isfinite(energies[:, level]))
        x = fractions[rows]
        targets = np.array([_target(fractions[row], energies[row], references, level) for row in rows])
        matrix = x.T @ x + ridge * np.eye(num_elements)
        residuals = targets - x @ below if len(rows) else np.zeros(0)
        references[level] = below + np.linalg.solve(matrix, x.T @ residuals)
    return references


def _target(x: NDArray[np.float64], labels: NDArray[np.float64], references: NDArray[np.float64], level: int) -> float:
    """Return what x·E0 of ``level`` should be for one structure."""
    for lower in reversed(range(level)):
        if np.isfinite(labels[lower]):
            return float(labels[level] - labels[lower] + x @ references[lower])
    return float(labels[level])
