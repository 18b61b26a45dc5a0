"""Acquisition arms: what to compute next (paper section 2.4).

Every arm scores the eligible candidates of a pool, the highest first. Terms of unlike units are scaled to [0, 1] over
the eligible pool before they are added, and the scaling is part of the answer.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.diversity import diversity_scores
from aiida_qagenai.selection.pool import CandidatePool

__all__ = ('ARMS', 'DIVERGENCES', 'Scores', 'score')

DIVERGENCE_WEIGHT = 0.7
DIVERSITY_WEIGHT = 0.3

DIVERGENCES = ('absolute', 'relative', 'signed')
"""D of Eqs 3, 4 and 5; the relative one divides by σ of the difference, in which shared errors cancel."""

SIGMA_FLOOR = 1e-3
"""Smallest σ that the relative divergence divides by, eV/atom, so that a collapsed ensemble does not rank first."""

Scaling = dict[str, dict[str, float]]


class Scores(t.NamedTuple):
    """Scores of a pool.

    :param total: higher is computed first; −inf if not eligible, shape (n,).
    :param terms: the scaled terms, NaN if not eligible, each of shape (n,).
    :param scaling: per term its ``minimum``, ``maximum`` and ``weight`` before scaling.
    """

    total: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]
    scaling: Scaling


def score(
    pool: CandidatePool, arm: str = 'hybrid', *, divergence: str = 'absolute', num_clusters: int = 50, seed: int = 0
) -> Scores:
    """Return the scores of ``pool`` by the acquisition ``arm``.

    :param arm: a key of ``ARMS``.
    :param divergence: which D the arms with a divergence use, one of ``DIVERGENCES``.
    :param num_clusters: k of the k-means clusters behind U.
    :param seed: of the random arm and of k-means.
    :raises InvalidInputError: on an unknown name, or where the pool lacks what the arm needs.
    """
    for name, value, allowed in (('arm', arm, tuple(ARMS)), ('divergence', divergence, DIVERGENCES)):
        if value not in allowed:
            message = f'unknown {name} `{value}`: choose from {", ".join(allowed)}'
            raise InvalidInputError(message)
    total = np.where(pool.eligible, 0.0, -np.inf)
    terms: dict[str, NDArray[np.float64]] = {}
    scaling: Scaling = {}
    if not pool.eligible.any():
        return Scores(total, terms, scaling)
    for name, (weight, values) in ARMS[arm](pool, divergence, num_clusters, seed).items():
        low, high = float(values[pool.eligible].min()), float(values[pool.eligible].max())
        scaled = (values - low) / (high - low) if high > low else np.zeros(len(pool))
        terms[name] = np.where(pool.eligible, scaled, np.nan)
        scaling[name] = {'minimum': low, 'maximum': high, 'weight': weight}
        total[pool.eligible] += weight * scaled[pool.eligible]
    return Scores(total, terms, scaling)


def _divergence(pool: CandidatePool, kind: str) -> NDArray[np.float64]:
    if kind == 'absolute':
        return pool.require('divergence')
    if kind == 'signed':
        return pool.require('divergence_signed')
    floored: NDArray[np.float64] = np.maximum(pool.require('divergence_sigma'), SIGMA_FLOOR)
    return pool.require('divergence') / floored


def _diversity(pool: CandidatePool, num_clusters: int, seed: int) -> NDArray[np.float64]:
    features = pool.require('features')
    scores = np.full(len(pool), np.nan)
    scores[pool.eligible] = diversity_scores(features[pool.eligible], num_clusters=num_clusters, seed=seed)[0]
    return scores


def _random(pool: CandidatePool, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(len(pool))


Arm = Callable[[CandidatePool, str, int, int], dict[str, tuple[float, NDArray[np.float64]]]]
"""From a pool, the kind of divergence, k and a seed to the weight and the values of each term."""

ARMS: dict[str, Arm] = {
    # the rule of the paper
    'hybrid': lambda pool, kind, k, seed: {
        'divergence': (DIVERGENCE_WEIGHT, _divergence(pool, kind)),
        'diversity': (DIVERSITY_WEIGHT, _diversity(pool, k, seed)),
    },
    'random': lambda pool, kind, k, seed: {'random': (1.0, _random(pool, seed))},
    'divergence': lambda pool, kind, k, seed: {'divergence': (1.0, _divergence(pool, kind))},
    'diversity': lambda pool, kind, k, seed: {'diversity': (1.0, _diversity(pool, k, seed))},
    'uncertainty': lambda pool, kind, k, seed: {'sigma': (1.0, pool.require('sigma'))},
    'low_fidelity_rank': lambda pool, kind, k, seed: {'low_fidelity': (1.0, -pool.require('low_fidelity_energy'))},
    'divergence_plus_sigma': lambda pool, kind, k, seed: {
        'divergence': (0.5, _divergence(pool, kind)),
        'sigma': (0.5, pool.require('sigma')),
    },
    # for benchmarks: what a perfect predictor of D would choose
    'oracle_divergence': lambda pool, kind, k, seed: {'true_divergence': (1.0, pool.require('true_divergence'))},
}
