"""How honest error bars are: calibration error, its noise floor, and coverage.

A calibrated σ says how often an error is smaller than any multiple of it: within the central interval of probability p
lies a share p of the errors. The expected calibration error (V. Kuleshov, N. Fenner, S. Ermon, ICML 2018) is the mean
of ``abs(share − p)`` over p: 0.5 − (2/π) arctan(1/2) = 0.205 where σ is half as large as it should be. With a finite
number of errors it is not 0 even for a perfect σ: what chance alone leaves is the noise floor.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.figures import CONFIDENCE

__all__ = (
    'LEVELS',
    'ClassCalibration',
    'calibration_by_class',
    'calibration_error',
    'calibration_interval',
    'coverage',
    'noise_floor',
)

LEVELS = np.linspace(0.01, 0.99, 99)
"""Probabilities p over which the calibration error is averaged."""

RESAMPLES = 500


def coverage(errors: NDArray[np.float64], sigmas: NDArray[np.float64], probability: float = 0.9) -> float:
    """Return the share of errors within the central interval of a normal distribution with their σ.

    :param errors: prediction minus truth, shape (n,).
    :param sigmas: shape (n,), > 0, in the same unit.
    :raises InvalidInputError: if there are no errors, or a σ is not positive.
    """
    return float((_scores(errors, sigmas) <= ndtri((1 + probability) / 2)).mean())


def calibration_error(errors: NDArray[np.float64], sigmas: NDArray[np.float64]) -> float:
    """Return the expected calibration error, between 0 and about 0.5.

    :param errors: prediction minus truth, shape (n,).
    :param sigmas: shape (n,), > 0, in the same unit.
    :raises InvalidInputError: if there are no errors, or a σ is not positive.
    """
    return float(_calibration_errors(_scores(errors, sigmas)[None])[0])


def calibration_interval(
    errors: NDArray[np.float64], sigmas: NDArray[np.float64], *, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the calibration error at the level ``CONFIDENCE``.

    Resampling adds the noise of a second draw to that of the first; the interval is therefore shifted down by the
    noise floor, but not below 0.
    """
    scores = _scores(errors, sigmas)
    rng = np.random.default_rng(seed)
    draws = np.array([_calibration_errors(rng.choice(scores, len(scores))[None])[0] for _ in range(RESAMPLES)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return max(0.0, float(low) - noise_floor(len(scores), seed=seed)), float(high)


def noise_floor(number: int, *, seed: int = 0) -> float:
    """Return the mean calibration error of a perfect σ with this ``number`` of errors."""
    scores = np.abs(np.random.default_rng(seed).standard_normal((RESAMPLES, number)))
    return float(_calibration_errors(scores).mean())


class ClassCalibration(t.NamedTuple):
    """How good the predictions for one class of materials are, and how honest their error bars.

    :param number: errors in the class.
    :param mae: mean absolute error, in the unit of the errors.
    :param calibration_error: expected calibration error.
    :param interval: its bootstrap interval.
    :param noise_floor: mean calibration error of a perfect σ with as many errors.
    :param coverage: share of the errors within the intervals of 90 %.
    """

    name: str
    number: int
    mae: float
    calibration_error: float
    interval: tuple[float, float]
    noise_floor: float
    coverage: float

    @property
    def is_calibrated(self) -> bool:
        """Return whether the calibration error is what chance alone would leave: its interval reaches the floor."""
        return self.interval[0] <= self.noise_floor


def calibration_by_class(
    errors: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    classes: Sequence[str],
    intervals: NDArray[np.float64] | None = None,
) -> list[ClassCalibration]:
    """Return one row per class that occurs, the largest first.

    :param errors: prediction minus truth, shape (n,).
    :param sigmas: shape (n,), > 0, in the same unit.
    :param classes: class of each error, such as :func:`~aiida_qagenai.chemistry.classes.material_class` gives.
    :param intervals: half the width of the interval of 90 % of each prediction, shape (n,); that of a normal
        distribution by default.
    :raises InvalidInputError: if there are no errors, or a σ is not positive.
    """
    _scores(errors, sigmas)
    widths = sigmas * ndtri(0.95) if intervals is None else intervals
    names = np.asarray(classes)
    rows = []
    for name, number in zip(*np.unique(names, return_counts=True), strict=True):
        chosen = names == name
        error, sigma = errors[chosen], sigmas[chosen]
        rows.append(
            ClassCalibration(
                name=str(name),
                number=int(number),
                mae=float(np.abs(error).mean()),
                calibration_error=calibration_error(error, sigma),
                interval=calibration_interval(error, sigma),
                noise_floor=noise_floor(int(number)),
                coverage=float((np.abs(error) <= widths[chosen]).mean()),
            )
        )
    return sorted(rows, key=lambda row: (-row.number, row.name))


def _scores(errors: NDArray[np.float64], sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``abs(error)`` / σ."""
    if not len(errors) or not (np.asarray(sigmas) > 0).all():
        raise InvalidInputError(f'{len(errors)} errors and their σ, all above 0, are expected')
    return np.abs(errors) / sigmas


def _calibration_errors(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the calibration error of each row of ``abs(error)`` / σ."""
    limits = ndtri((1 + LEVELS) / 2)
    counts = np.array([np.searchsorted(np.sort(row), limits, side='right') for row in scores])
    found: NDArray[np.float64] = np.abs(counts / scores.shape[1] - LEVELS).mean(axis=1)
    return found
