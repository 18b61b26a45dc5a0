"""What predicts the difference between the levels from the compounds computed so far, with its uncertainty."""

from __future__ import annotations

import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

from active_learning_parts.pools import Array, Pool

LEAST_SPREAD = 0.02
"""Smallest standard deviation of the differences that scales the priors, eV/atom."""


class Surrogate(t.Protocol):
    """Predicts the difference of all compounds of a pool."""

    def __call__(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of what a calculation would give, eV/atom, each of shape (n,).

        :param rows: compounds that were computed, shape (m,).
        :param values: their differences, eV/atom, shape (m,).
        """


class GaussianProcess:
    """A Gaussian process whose kernel is the best of a list by the marginal likelihood.

    :param kernels: of all compounds of the pool, for differences of unit variance, each of shape (n, n).
    :param noises: standard deviations of the noise in the same unit.
    """

    def __init__(self, kernels: t.Iterable[Array], noises: t.Sequence[float]) -> None:
        self.kernels, self.noises = list(kernels), noises

    def __call__(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """See :class:`Surrogate`."""
        scale, centred = max(float(values.std()), LEAST_SPREAD), values - values.mean()
        fits = (self.fit(kernel, noise, rows, centred / scale) for kernel in self.kernels for noise in self.noises)
        _, kernel, noise, factor, weights = max(fits, key=lambda fit: fit[0])
        reduced = solve_triangular(factor, kernel[rows], lower=True)
        variance = np.maximum(np.diag(kernel) - (reduced**2).sum(axis=0), 0.0) + noise**2
        return values.mean() + scale * (kernel[:, rows] @ weights), scale * np.sqrt(variance)

    @staticmethod
    def fit(
        kernel: Array, noise: float, rows: NDArray[np.int64], values: Array
    ) -> tuple[float, Array, float, Array, Array]:
        """Return the logarithm of the marginal likelihood but for a constant, the arguments, and what predicts."""
        factor = cholesky(kernel[np.ix_(rows, rows)] + noise**2 * np.eye(len(rows)), lower=True)
        weights = cho_solve((factor, True), values)
        return float(-0.5 * values @ weights - np.log(np.diag(factor)).sum()), kernel, noise, factor, weights


def linear(pool: Pool) -> GaussianProcess:
    """Return Bayesian linear regression on the fractions of the elements, the surrogate of the design page."""
    features = np.column_stack([pool.fractions, np.ones(len(pool))])
    product = features @ features.T
    return GaussianProcess([alpha**2 * product for alpha in (0.5, 1.5, 5.0, 15.0)], (0.1, 0.3, 0.6, 0.9))


def chemical(pool: Pool) -> GaussianProcess:
    """Return a Gaussian process on chemistry: elements in common, properties of elements, and the lower energy."""
    features = np.column_stack([pool.fractions, np.ones(len(pool))])
    product = features @ features.T
    squared = ((pool.chemistry[:, None, :] - pool.chemistry[None, :, :]) ** 2).mean(axis=2)
    in_common = (np.sqrt(pool.fractions) @ np.sqrt(pool.fractions).T) ** 4
    kernels = (
        a**2 * product + b**2 * 0.5 * (np.exp(-0.5 * squared / length) + in_common)
        for a, b, length in itertools.product((0.0, 0.3, 1.0), (0.5, 1.0), (0.3, 1.0))
    )
    return GaussianProcess(kernels, (0.15, 0.4, 0.8))


SURROGATES: dict[str, t.Callable[[Pool], GaussianProcess]] = {'linear': linear, 'chemical': chemical}
