"""What computed band gaps add to the predicted ones: Gaussian processes of what the networks were wrong by.

The networks stay as they are. The covariance of two errors has three parts. A constant and one that grows with the gaps
stand for a level of theory that differs from the published gaps. A third is a product of the standard deviations that
were predicted and falls off with the distance of the hidden features: unsure predictions learn more than sure ones, and
what is near a computed crystal more than what is far.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray

__all__ = ('Conditional', 'Correction', 'Errors')

FEWEST = 4
"""Computed crystals from which anything is learned."""

NOISE = 0.1
"""Standard deviation of a computed gap, eV: meshes and bases differ."""

UNSURE = 0.1
"""Standard deviation of what is computed to be a metal or an insulator."""

SHARED = 0.7
"""Share of the variance of an error that crystals have in common with others like them."""

SLOPES = (0.05, 0.3)
"""Standard deviations of the share by which a level of theory may stretch gaps; of the likelier one is learned."""

OFFSETS = (0.05, 0.5)
"""The same of a constant, eV."""

FACTORS = (0.5, 1.0, 2.0)
"""The same of a factor on the standard deviations that were predicted."""

LENGTHS = (0.2, 0.4, 0.8)
"""The same of distances of unit vectors of features, over which errors are alike."""


DOUBT = 4.0
"""Logarithm of the likelihood that must be gained for each setting that is not the first: few labels prove little."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """A Gaussian process of errors, fitted to those of some crystals.

    :param features: of these crystals, unit vectors, shape (n, d).
    :param values: what a stretch acts on, shape (n,).
    :param deviations: predicted standard deviations, shape (n,).
    :param weights: inverse of their covariance times their errors, shape (n,).
    :param root: of Cholesky of that covariance, shape (n, n).
    :param settings: offset, slope, factor and length.
    """

    features: NDArray[np.float64]
    values: NDArray[np.float64]
    deviations: NDArray[np.float64]
    weights: NDArray[np.float64]
    root: NDArray[np.float64]
    settings: tuple[float, float, float, float]

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float64],
        values: NDArray[np.float64],
        deviations: NDArray[np.float64],
        errors: NDArray[np.float64],
        noise: float,
    ) -> Errors | None:
        """Return the likeliest process, ``None`` if there are too few errors.

        :param noise: standard deviation of the labels.
        """
        if len(errors) < FEWEST:
            return None
        found: list[tuple[float, Errors]] = []
        for settings in itertools.product(OFFSETS, SLOPES, FACTORS, LENGTHS):
            covariance = _covariance(settings, (features, values, deviations), (features, values, deviations))
            alone = (1 - SHARED) * (settings[2] * deviations) ** 2
            root = np.linalg.cholesky(covariance + np.diag(alone + noise**2)).astype(np.float64)
            weights = np.linalg.solve(root.T, np.linalg.solve(root, errors))
            likelihood = -0.5 * errors @ weights - np.log(np.diag(root)).sum() - DOUBT * _steps(settings)
            found.append((float(likelihood), cls(features, values, deviations, weights, root, settings)))
        return max(found, key=lambda each: each[0])[1]

    def at(
        self, features: NDArray[np.float64], values: NDArray[np.float64], deviations: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return expected errors of other crystals, and their standard deviations, shape (n,) each."""
        offset, slope, factor, _ = self.settings
        known = self.features, self.values, self.deviations
        covariance = _covariance(self.settings, (features, values, deviations), known)
        prior = offset**2 + (slope * values) ** 2 + (factor * deviations) ** 2
        variance = prior - (np.linalg.solve(self.root, covariance.T) ** 2).sum(axis=0)
        return covariance @ self.weights, np.minimum(np.sqrt(np.maximum(variance, 0.0)), deviations)


def _steps(settings: tuple[float, float, float, float]) -> int:
    """Return how many settings differ from the first of each, which change predictions least."""
    return sum(
        setting != first[0] for setting, first in zip(settings, (OFFSETS, SLOPES, FACTORS, LENGTHS), strict=True)
    )


Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Features, values and standard deviations of crystals."""


def _covariance(settings: tuple[float, float, float, float], first: Rows, second: Rows) -> NDArray[np.float64]:
    """Return what the errors of different crystals have in common, shape (n, m)."""
    offset, slope, factor, length = settings
    squares = np.maximum(2 - 2 * first[0] @ second[0].T, 0.0)
    near = SHARED * factor**2 * np.outer(first[2], second[2]) * np.exp(-squares / (2 * length**2))
    found: NDArray[np.float64] = offset**2 + slope**2 * np.outer(first[1], second[1]) + near
    return found


class Conditional(t.NamedTuple):
    """What is predicted of crystals, shape (n,) each.

    :param gaps: if there are any, eV; ``deviations`` are their standard deviations.
    :param chances: probabilities of an insulator.
    """

    gaps: NDArray[np.float64]
    deviations: NDArray[np.float64]
    chances: NDArray[np.float64]


class Correction(t.NamedTuple):
    """What was learned of the gaps of insulators, and of which crystals are insulators; ``None`` is nothing."""

    gaps: Errors | None
    chances: Errors | None

    @classmethod
    def fit(cls, features: NDArray[np.float64], predicted: Conditional, labels: NDArray[np.float64]) -> Correction:
        """Learn from computed gaps.

        :param features: unit vectors, shape (n, d).
        :param labels: computed gaps, eV, 0 for a metal, shape (n,).
        """
        insulators = labels > 0
        gaps, deviations = predicted.gaps[insulators], predicted.deviations[insulators]
        none, spread = np.zeros(len(labels)), _spread(predicted.chances)
        return cls(
            Errors.fit(features[insulators], gaps, deviations, labels[insulators] - gaps, NOISE),
            Errors.fit(features, none, spread, insulators - predicted.chances, UNSURE),
        )

    def apply(self, features: NDArray[np.float64], predicted: Conditional) -> Conditional:
        """Return the predictions with what was learned.

        :param features: unit vectors, shape (n, d).
        """
        gaps, deviations, chances = predicted
        if self.gaps is not None:
            errors, deviations = self.gaps.at(features, gaps, deviations)
            gaps = np.maximum(gaps + errors, 0.0)
        if self.chances is not None:
            errors, _ = self.chances.at(features, np.zeros(len(chances)), _spread(chances))
            chances = np.clip(chances + errors, 0.0, 1.0)
        return Conditional(gaps, deviations, chances)


def _spread(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of whether crystals are insulators, with a floor for those that seem certain."""
    found: NDArray[np.float64] = np.sqrt(chances * (1 - chances) + 0.01)
    return found
