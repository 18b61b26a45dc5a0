"""Which labels pull hardest on a fit: Cook's distance of each row of a ridge regression.

Cook's distance (R. D. Cook, Technometrics 19, 15 (1977)) is the squared change of all fitted values when a row is left
out, over p s²: D = t² h / (p (1 − h)) with the leverage h, the studentised residual t, the effective number of
parameters p (the sum of the leverages) and the spread s of the residuals. One large outlier widens s and bends the fit
towards itself, several hide each other; both are therefore taken from a fit in which rows far off count less (iterated
weights after Huber), s is the median absolute deviation, and D of a row is what it would be if that row counted in
full.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('MAD_TO_SIGMA', 'Influence', 'influence')

MAD_TO_SIGMA = 1.4826
"""From the median absolute deviation of normal errors to their standard deviation."""

TUNING = 1.345
"""Residual in units of s beyond which a row counts less in the robust fit."""

ITERATIONS = 10
PENALTIES = 10.0 ** np.arange(-4, 4.1, 0.5)
"""Penalties tried, in units of the mean of the squared entries of the design times the number of rows."""


@dataclasses.dataclass(frozen=True)
class Influence:
    """What each of n rows does to the fit.

    :param distances: Cook's distance, shape (n,).
    :param residuals: label minus the prediction of the fit without it, shape (n,), in the unit of the labels.
    :param studentised: residual over its standard deviation, shape (n,).
    :param leverages: between 0 and 1, shape (n,).
    :param weights: of the rows in the fit, between 0 and 1, shape (n,).
    :param penalty: of the ridge regression.
    """

    distances: NDArray[np.float64]
    residuals: NDArray[np.float64]
    studentised: NDArray[np.float64]
    leverages: NDArray[np.float64]
    weights: NDArray[np.float64]
    penalty: float

    def outliers(self, studentised: float) -> NDArray[np.bool_]:
        """Return the rows whose D is above the usual 4/n and that are further off than errors are, shape (n,).

        By itself, 4/n marks about a twentieth of the rows of clean data with long tails.

        :param studentised: least absolute value of the studentised residual.
        """
        return (self.distances > 4 / max(1, len(self.distances))) & (np.abs(self.studentised) > studentised)


def influence(
    design: NDArray[np.float64],
    labels: NDArray[np.float64],
    penalty: float | None = None,
    *,
    robust: bool = True,
) -> Influence:
    """Return the influence of each label on the ridge regression of the labels on the columns of the design.

    :param design: shape (n, p).
    :param labels: shape (n,).
    :param penalty: λ of λ ‖coefficients‖²; by default the one with the smallest median error of left-out labels.
    :param robust: whether rows far off count less in the fit, and s is a median.
    :raises InvalidInputError: if there are no labels, or the shapes do not match.
    """
    if not len(labels) or design.shape != (len(labels), design.shape[-1]):
        raise InvalidInputError(f'a design of shape {design.shape} does not belong to {len(labels)} labels')
    if penalty is None:
        unit = float((design**2).mean()) * len(labels)
        tried = [_fit(design, labels, unit * factor, robust=robust) for factor in PENALTIES]
        return min(tried, key=lambda each: float(np.median(np.abs(each.residuals))))
    return _fit(design, labels, penalty, robust=robust)


def _fit(design: NDArray[np.float64], labels: NDArray[np.float64], penalty: float, *, robust: bool) -> Influence:
    """Return the influence at one penalty."""
    weights = np.ones(len(labels))
    for _ in range(ITERATIONS if robust else 1):
        left, singular, _ = np.linalg.svd(design * np.sqrt(weights)[:, None], full_matrices=False)
        left *= singular / np.sqrt(singular**2 + penalty)
        hat = (left**2).sum(axis=1)
        fitted = left @ (left.T @ (labels * np.sqrt(weights))) / np.sqrt(weights)
        # the fit without a row, and its leverage if it counted in full
        residuals = (labels - fitted) / np.maximum(1 - hat, 1e-9)
        alone = hat / weights / np.maximum(1 - hat, 1e-9)
        leverages = alone / (1 + alone)
        scaled = residuals * np.sqrt(1 - leverages)
        freedom = max(1e-9, weights.sum() - hat.sum())
        squares = ((labels - fitted) ** 2).sum()
        spread = MAD_TO_SIGMA * np.median(np.abs(scaled)) if robust else np.sqrt(squares / freedom)
        studentised = scaled / max(float(spread), 1e-12)
        used, weights = weights, np.minimum(1.0, TUNING / np.maximum(np.abs(studentised), 1e-12))
    distances = studentised**2 * leverages / (np.maximum(1 - leverages, 1e-9) * max(float(hat.sum()), 1e-9))
    return Influence(distances, residuals, studentised, leverages, used, penalty)
