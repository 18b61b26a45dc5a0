"""What predicts the difference between the levels from the compounds computed so far, with its uncertainty."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from active_learning_parts.pools import Array, Pool

LEAST_WEIGHT = 0.02
"""Smallest likelihood of what enters an average, of the largest."""

LEAST_SPREAD = 0.02
"""Smallest standard deviation of the differences that scales the priors, eV/atom."""

Fit = tuple[float, Array, float, Array, Array]
"""Logarithm of the marginal likelihood, kernel, noise, its Cholesky factor, and weights of the values."""


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
        scale, fits = self.fits(rows, values)
        mean, variance = self.expected(max(fits, key=lambda fit: fit[0]), rows)
        return values.mean() + scale * mean, scale * np.sqrt(variance)

    def joint(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """Return mean, eV/atom, shape (n,), and covariance of what calculations would give, eV²/atom², shape (n, n)."""
        scale, fits = self.fits(rows, values)
        best = max(fits, key=lambda fit: fit[0])
        mean, variance = self.expected(best, rows)
        _, kernel, _, factor, _ = best
        reduced = solve_triangular(factor, kernel[rows], lower=True)
        covariance = kernel - reduced.T @ reduced
        np.fill_diagonal(covariance, variance)
        return values.mean() + scale * mean, scale**2 * covariance

    def fits(self, rows: NDArray[np.int64], values: Array) -> tuple[float, list[Fit]]:
        """Return what values are scaled by, eV/atom, and the fits of all kernels and noises."""
        scale, centred = max(float(values.std()), LEAST_SPREAD), values - values.mean()
        return scale, [self.fit(kernel, each, rows, centred / scale) for kernel in self.kernels for each in self.noises]

    @staticmethod
    def expected(fit: Fit, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return mean and variance of one fit for values of unit variance, each of shape (n,)."""
        _, kernel, noise, factor, weights = fit
        reduced = solve_triangular(factor, kernel[rows], lower=True)
        return kernel[:, rows] @ weights, np.maximum(np.diag(kernel) - (reduced**2).sum(axis=0), 0.0) + noise**2

    @staticmethod
    def fit(kernel: Array, noise: float, rows: NDArray[np.int64], values: Array) -> Fit:
        """Return the logarithm of the marginal likelihood but for a constant, the arguments, and what predicts."""
        factor = cholesky(kernel[np.ix_(rows, rows)] + noise**2 * np.eye(len(rows)), lower=True)
        weights = cho_solve((factor, True), values)
        return float(-0.5 * values @ weights - np.log(np.diag(factor)).sum()), kernel, noise, factor, weights


class Averaged(GaussianProcess):
    """All kernels and noises, weighted by their marginal likelihoods: few values do not tell them apart."""

    def __call__(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """See :class:`Surrogate`."""
        scale, fits = self.fits(rows, values)
        likelihood = np.array([fit[0] for fit in fits])
        weights = np.exp(likelihood - likelihood.max())
        kept = weights > LEAST_WEIGHT
        weights = weights[kept] / weights[kept].sum()
        means, variances = np.moveaxis(
            np.array([self.expected(fit, rows) for fit, use in zip(fits, kept, strict=True) if use]), 1, 0
        )
        mean = weights @ means
        return values.mean() + scale * mean, scale * np.sqrt(weights @ (variances + (means - mean) ** 2))


class AroundHead(GaussianProcess):
    """A Gaussian process of what the Δ heads of the validator leave over.

    :param head: the differences that they expect, eV/atom, shape (n,).
    """

    def __init__(self, kernels: t.Iterable[Array], noises: t.Sequence[float], head: Array) -> None:
        super().__init__(kernels, noises)
        self.head = head

    def __call__(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """See :class:`Surrogate`."""
        mean, sigma = super().__call__(rows, values - self.head[rows])
        return self.head + mean, sigma

    def joint(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """See :meth:`GaussianProcess.joint`."""
        mean, covariance = super().joint(rows, values - self.head[rows])
        return self.head + mean, covariance


def linear(pool: Pool) -> GaussianProcess:
    """Return Bayesian linear regression on the fractions of the elements, the surrogate of the design page."""
    features = np.column_stack([pool.fractions, np.ones(len(pool))])
    product = features @ features.T
    return GaussianProcess([alpha**2 * product for alpha in (0.5, 1.5, 5.0, 15.0)], (0.1, 0.3, 0.6, 0.9))


CHEMICAL = tuple(itertools.product((0.0, 0.3, 1.0), (0.5, 1.0), (0.3, 1.0)))
"""Standard deviations of the linear part and of the rest of a kernel on chemistry, and the length of the latter."""

CHEMICAL_NOISES = (0.15, 0.4, 0.8)


def similarities(pool: Pool, columns: NDArray[np.int64] | None = None) -> tuple[Array, Array, Array]:
    """Return how alike compounds are: products of fractions, distances in chemistry squared, elements in common.

    :param columns: compounds that all others are compared with, all of them if None.
    :return: each of shape (n, m).
    """
    features = np.column_stack([pool.fractions, np.ones(len(pool))])
    shares, chosen = np.sqrt(pool.fractions), slice(None) if columns is None else columns
    squared = cdist(pool.chemistry, pool.chemistry[chosen], 'sqeuclidean') / pool.chemistry.shape[1]
    return features @ features[chosen].T, squared, (shares @ shares[chosen].T) ** 4


def chemical_kernel(parts: tuple[Array, Array, Array], a: float, b: float, length: float) -> Array:
    """Return one of the kernels on chemistry, see ``CHEMICAL``, from :func:`similarities`."""
    product, squared, in_common = parts
    return a**2 * product + b**2 * 0.5 * (np.exp(-0.5 * squared / length) + in_common)


def chemical(pool: Pool) -> GaussianProcess:
    """Return a Gaussian process on chemistry: elements in common, properties of elements, and the lower energy."""
    parts = similarities(pool)
    return GaussianProcess((chemical_kernel(parts, *each) for each in CHEMICAL), CHEMICAL_NOISES)


class Steady:
    """The Gaussian process of :func:`chemical` for large pools, without its standard deviations.

    The kernel is chosen anew each time that the compounds computed are a fifth more, and only the columns of these are
    made. Each campaign needs its own.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool, self.chosen, self.number = pool, (CHEMICAL[0], CHEMICAL_NOISES[0]), 0

    def __call__(self, rows: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """Return the mean, see :class:`Surrogate`, and ones."""
        columns, places = similarities(self.pool, rows), np.arange(len(rows))
        among = tuple(each[rows] for each in columns)
        scale, centred = max(float(values.std()), LEAST_SPREAD), values - values.mean()

        def fit(kind: tuple[float, float, float], noise: float) -> Fit:
            return GaussianProcess.fit(chemical_kernel(among, *kind), noise, places, centred / scale)

        if len(rows) >= 1.2 * self.number:
            choices = itertools.product(CHEMICAL, CHEMICAL_NOISES)
            self.chosen, self.number = max(choices, key=lambda choice: fit(*choice)[0]), len(rows)
        weights = fit(*self.chosen)[-1]
        mean = values.mean() + scale * (chemical_kernel(columns, *self.chosen[0]) @ weights)
        return mean, np.ones(len(self.pool))


def averaged(pool: Pool) -> Averaged:
    """Return the average of all Gaussian processes that :func:`chemical` chooses from."""
    best = chemical(pool)
    return Averaged(best.kernels, best.noises)


def cokriging(pool: Pool) -> GaussianProcess:
    """Return co-kriging of two levels, of which the lower one is known everywhere.

    The higher level is ρ times the lower one plus a Gaussian process on chemistry (Kennedy and O'Hagan, Biometrika 87,
    1 (2000)). The difference then has a part that is linear in the lower energy, whose slope 1 − ρ has a normal prior.
    """
    without_energy = dataclasses.replace(pool, chemistry=pool.chemistry[:, :-1])
    energy = pool.chemistry[:, -1]
    shared = np.outer(energy, energy)
    kernels = [kernel + slope**2 * shared for kernel in chemical(without_energy).kernels for slope in (0.0, 0.3, 1.0)]
    return GaussianProcess(kernels, CHEMICAL_NOISES)


def latent_kernels(pool: Pool) -> list[Array]:
    """Return kernels on what the validator makes of crystals: a linear head on it, and nearness."""
    product = pool.latent @ pool.latent.T / pool.latent.shape[1]
    squared = cdist(pool.latent, pool.latent, 'sqeuclidean') / pool.latent.shape[1]
    return [
        a**2 * product + b**2 * np.exp(-0.5 * squared / length)
        for a, b, length in itertools.product((0.3, 1.0), (0.0, 0.5, 1.0), (0.3, 1.0))
    ]


def latent(pool: Pool) -> GaussianProcess:
    """Return a head, Bayesian linear or a Gaussian process, on the latent features of the shipped validator."""
    return GaussianProcess(latent_kernels(pool), CHEMICAL_NOISES)


def delta_head(pool: Pool) -> AroundHead:
    """Return the Δ heads of the shipped validator, corrected by what :func:`latent` learns: that of the closed loop."""
    return AroundHead(latent_kernels(pool), CHEMICAL_NOISES, pool.head)


OF_CRYSTALS = ('latent', 'delta-head')
"""Surrogates that know crystals, not compositions alone."""

SURROGATES: dict[str, t.Callable[[Pool], GaussianProcess]] = {
    'linear': linear, 'chemical': chemical, 'cokriging': cokriging, 'averaged': averaged, 'latent': latent,
    'delta-head': delta_head,
}  # fmt: skip
