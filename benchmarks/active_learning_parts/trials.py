"""Choices that know how the differences of compounds depend on each other: tried, and no better than divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_learning_parts.pools import HIT_SHARE, Array
from aiida_qagenai.selection.acquisition import hit_threshold, probability_beyond

AHEAD, SHORTLIST, LEAST = 5, 120, 1e-3
"""Calculations that are looked ahead, candidates that are looked at, smallest standard deviation, eV/atom."""


def thompson(mean: Array, covariance: Array, seed: int) -> Array:
    """Return the size of the differences in one draw from what is expected of all, eV/atom, shape (n,).

    :param mean: expected differences, eV/atom, shape (n,).
    :param covariance: of what calculations would give, eV²/atom², shape (n, n).
    """
    drawn = np.random.default_rng([seed, 5]).multivariate_normal(mean, covariance, method='eigh')
    return np.abs(drawn)


def lookahead(mean: Array, covariance: Array, eligible: NDArray[np.bool_]) -> Array:
    """Return the hits that are expected of a candidate and of the best ``AHEAD`` after its result, shape (n,).

    Efficient nonmyopic search (Jiang et al., ICML 2017), with the result at five nodes of Gauss and Hermite. Those
    outside of the ``SHORTLIST`` most probable hits get 0.
    """
    threshold = hit_threshold(mean, np.sqrt(np.maximum(np.diag(covariance), LEAST**2)), HIT_SHARE)
    rows = np.flatnonzero(eligible)
    own, between = mean[rows], covariance[np.ix_(rows, rows)]
    variance = np.maximum(np.diag(between), LEAST**2)
    now = probability_beyond(own, np.sqrt(variance), threshold)
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    number, found = min(AHEAD, len(rows) - 1), np.zeros(len(mean))
    for place in np.argsort(-now, kind='stable')[:SHORTLIST]:
        slope = between[place] / variance[place]
        left = np.sqrt(np.maximum(variance - between[place] * slope, LEAST**2))
        value = now[place]
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            then = probability_beyond(own + slope * node * np.sqrt(variance[place]), left, threshold)
            then[place] = 0.0
            value += weight * np.sort(then)[len(then) - number :].sum()
        found[rows[place]] = value
    return found
