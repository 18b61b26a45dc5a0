"""Arms without networks: linear corrections, and Gaussian processes for what these leave.

A linear correction is a ridge regression on the element fractions and on energies of other levels; the difference to
the level below is fitted, so that the ridge shrinks to no correction. Its strength is chosen by the leave-one-out
errors, from which σ comes as well. A Gaussian process (Matérn 5/2 and noise, hyperparameters of largest likelihood)
then fits the rest as a function of the leading principal components of the features.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import RidgeCV

from aiida_qagenai.ml.alternatives.problem import Prediction, Predictor, Problem

__all__ = (
    'Trend',
    'components',
    'difference',
    'foundation',
    'foundation_linear',
    'high_only',
    'levels',
    'linear',
    'lower',
    'surrogate',
)

NUM_COMPONENTS = 24
"""Principal components of the features that a Gaussian process sees."""

STRENGTHS = np.logspace(-4, 3, 22)
MIN_PROCESS = 8
"""With fewer labels than this nothing but the linear trend is fitted."""

Rows = NDArray[np.int64]
Values = NDArray[np.float64]


class Trend:
    """A ridge regression on the element fractions and further columns.

    :param columns: shape (n, k).
    :param targets: shape (n,), NaN where unknown.
    """

    def __init__(self, columns: Values, targets: Values) -> None:
        known = np.isfinite(targets) & np.isfinite(columns).all(axis=1)
        self._mean = columns[known].mean(axis=0) if known.any() else np.zeros(columns.shape[1])
        self.values = np.zeros(len(targets))
        self.error = float('nan')
        if known.sum() > 2:
            model = RidgeCV(STRENGTHS, store_cv_results=True).fit(columns[known] - self._mean, targets[known])
            self.values = model.predict(np.nan_to_num(columns - self._mean))
            left_out = model.cv_results_.reshape(known.sum(), -1)
            self.error = float(np.sqrt(left_out.mean(axis=0).min()))
        elif known.any():
            self.values = np.full(len(targets), targets[known].mean())
        self.values = np.where(np.isfinite(columns).all(axis=1), self.values, np.nan)


def components(problem: Problem) -> Values:
    """Return the features as a process sees them: as many components as matter, scaled together, shape (n, d)."""
    if 'components' not in problem.shared:
        features = problem.features
        number = min(NUM_COMPONENTS, *features.shape)
        found = PCA(number, random_state=0).fit_transform(features)
        problem.shared['components'] = found / max(float(found.std(axis=0).max()), 1e-12)
    result: Values = problem.shared['components']
    return result


def process(places: Values, targets: Values, seed: int) -> tuple[Values, Values]:
    """Return what a Gaussian process says at all ``places``, shape (n, d), and its σ, both of shape (n,).

    :param targets: shape (n,), NaN where unknown.
    """
    known = np.isfinite(targets)
    scale = max(float(targets[known].std()), 1e-6)
    spread = max(float(np.sqrt(places.var(axis=0).sum())), 1e-6)
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * Matern(spread, (1e-2 * spread, 1e2 * spread), nu=2.5) + WhiteKernel(
        0.1, (1e-6, 10.0)
    )
    model = GaussianProcessRegressor(kernel, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # at a bound of the hyperparameters
        model.fit(places[known], targets[known] / scale)
        mean, deviation = model.predict(places, return_std=True)
    return mean * scale, deviation * scale


def fit(
    problem: Problem, start: Values, columns: Values, *, with_process: bool, sigma: Values | float = 0.0
) -> Predictor:
    """Return the predictor ``start`` + trend + process, fitted to the known targets.

    :param start: what is corrected, shape (n,), eV/atom.
    :param columns: of the trend, besides the element fractions, shape (n, k).
    :param sigma: error bars of ``start``, shape (n,).
    """
    rest = problem.target - start
    trend = Trend(np.column_stack([problem.fractions, columns]), rest)
    energies, deviations = start + trend.values, np.full(len(start), trend.error)
    if with_process and np.isfinite(rest).sum() >= MIN_PROCESS:
        more, deviations = process(components(problem), rest - trend.values, problem.seed)
        energies = energies + more
    deviations = np.sqrt(deviations**2 + np.square(sigma))
    return lambda rows: Prediction(energies[rows], deviations[rows])


def lower(problem: Problem) -> Predictor:
    """Return the level below as it is; σ is its mean error on the known targets."""
    errors = problem.target - problem.below
    sigma = float(np.sqrt(np.nanmean(errors**2))) if np.isfinite(errors).any() else float('nan')
    return lambda rows: Prediction(problem.below[rows], np.hypot(sigma, problem.lower_sigma[rows, -1]))


def linear(problem: Problem) -> Predictor:
    """Return the linear correction of the level below: shift, slope and elements."""
    below, sigma = problem.below, problem.lower_sigma[:, -1]
    return fit(problem, below, below[:, None], with_process=False, sigma=sigma)


def levels(problem: Problem) -> Predictor:
    """Return the linear combination of all levels below; σ follows their spread, moderated by its mean."""
    known = problem.lower[:, np.isfinite(problem.lower).all(axis=0)]
    rest = problem.target - problem.below
    trend = Trend(known, rest)
    variances = known.var(axis=1, ddof=1)
    sigma = trend.error * np.sqrt((variances / max(float(variances.mean()), 1e-12) + 1) / 2)
    return lambda rows: Prediction(problem.below[rows] + trend.values[rows], sigma[rows])


def high_only(problem: Problem) -> Predictor:
    """Return a process on the labels of the target alone."""
    nothing = np.zeros(len(problem.target))
    return fit(problem, nothing, np.zeros((len(nothing), 0)), with_process=True)


def difference(problem: Problem) -> Predictor:
    """Return the linear correction of the level below, and a process for the rest."""
    below, sigma = problem.below, problem.lower_sigma[:, -1]
    return fit(problem, below, below[:, None], with_process=True, sigma=sigma)


def foundation_linear(problem: Problem) -> Predictor:
    """Return the linear correction of what the shipped validator says of the target's level or the one below."""
    assert problem.base is not None
    return fit(problem, problem.base, problem.base[:, None], with_process=False)


def foundation(problem: Problem) -> Predictor:
    """Return the linear correction of the shipped validator, and a process on its features for the rest."""
    assert problem.base is not None
    return fit(problem, problem.base, problem.base[:, None], with_process=True)


def surrogate(energies: Values, fractions: Values, places: Values, seed: int) -> tuple[Values, Values]:
    """Return the energies on some levels, and their σ, both of shape (n, L): labels, or what stands in for them.

    What is not known on the lowest level is said by a trend and a process that were fitted to its labels; on another
    level, by those of the difference to the level below it.

    :param energies: lowest level first, shape (n, L), NaN where unknown.
    """
    found, sigmas = [np.zeros(len(energies))], [np.zeros(len(energies))]
    for index, column in enumerate(energies.T):
        start, sigma, known = found[-1], sigmas[-1], np.isfinite(column)
        if known.all() or not known.any():
            # without a label on a level, the one below stands in for it
            found.append(column if known.any() else start)
            sigmas.append(np.zeros(len(column)) if known.any() else sigma)
            continue
        trend = Trend(np.column_stack([fractions, start]) if index else fractions, column - start)
        more, deviation = process(places, column - start - trend.values, seed)
        found.append(np.where(known, column, start + trend.values + more))
        sigmas.append(np.where(known, 0.0, np.hypot(sigma, deviation)))
    return np.stack(found[1:], axis=1), np.stack(sigmas[1:], axis=1)
