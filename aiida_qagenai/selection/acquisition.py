"""Candidates of a cycle and acquisition arms: what to compute next (paper section 2.4).

Every arm scores the eligible candidates of a pool, the highest first. Before terms of unlike units are added, those in
units are scaled: the smallest of the eligible pool to 0, their 95 % quantile to 1. What lies above it stays above 1, so
that one outlier neither leaves the choice to the other terms nor loses its place (the paper names no scaling). The
scaling is part of the answer.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'ARMS',
    'DIVERGENCES',
    'CandidatePool',
    'Scores',
    'diversity_scores',
    'expected_improvement',
    'hit_probability',
    'hit_threshold',
    'knowledge_gradient',
    'probability_beyond',
    'scale',
    'score',
)

DIVERGENCE_WEIGHT = 0.7
DIVERSITY_WEIGHT = 0.3

DIVERGENCES = ('absolute', 'relative', 'signed')
"""D of Eqs 3, 4 and 5; the relative one divides by σ of the difference, in which shared errors cancel."""

SIGMA_FLOOR = 1e-3
"""Smallest σ that the relative divergence divides by, eV/atom, so that a collapsed ensemble does not rank first."""

SCALE_QUANTILE = 0.95

BOUNDED = frozenset({'diversity', 'hit', 'random'})
"""Terms that are between 0 and 1 by themselves."""

HIT_SHARE = 0.15
"""Share of a pool that counts as hits: those with the largest divergence."""

NUM_CLUSTERS = 50
"""k of the paper; with fewer candidates, as many clusters as there are distinct ones."""

Scaling = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class CandidatePool:
    """What is known about n candidates before any of them is computed.

    Arrays that an arm does not use may be left out.

    :param fingerprints: one per candidate; equal ones are duplicates and are chosen once.
    :param eligible: whether the candidate passed the constraints and the stability filter, shape (n,).
    :param divergence: D = abs(E_PBE − E_MF) on formation energies, eV/atom, shape (n,) (paper Eq 3); E_MF is the energy
        on the top rung of the chemical system, see ``thermodynamics.top_rung``.
    :param divergence_signed: E_PBE − E_MF, eV/atom, shape (n,) (Eq 5).
    :param divergence_sigma: calibrated standard deviation of the difference E_PBE − E_MF, eV/atom, shape (n,).
    :param sigma: predictive uncertainty of E_MF, eV/atom, shape (n,).
    :param low_fidelity_energy: distance to the hull at PBE, eV/atom, shape (n,); lower ranks first.
    :param features: descriptor or latent vectors, shape (n, d).
    :param cost: of computing each candidate, in any unit, positive, shape (n,); equal if left out.
    :param true_divergence: D by computation, for the oracle arm of benchmarks only, eV/atom, shape (n,).
    """

    fingerprints: tuple[str, ...]
    eligible: NDArray[np.bool_]
    divergence: NDArray[np.float64] | None = None
    divergence_signed: NDArray[np.float64] | None = None
    divergence_sigma: NDArray[np.float64] | None = None
    sigma: NDArray[np.float64] | None = None
    low_fidelity_energy: NDArray[np.float64] | None = None
    features: NDArray[np.float64] | None = None
    cost: NDArray[np.float64] | None = None
    true_divergence: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'fingerprints', tuple(self.fingerprints))
        for field in dataclasses.fields(self):
            if field.name == 'fingerprints' or getattr(self, field.name) is None:
                continue
            dtype = np.bool_ if field.name == 'eligible' else np.float64
            array: NDArray[np.generic] = np.asarray(getattr(self, field.name), dtype=dtype)
            object.__setattr__(self, field.name, array)
            dimensions = 2 if field.name == 'features' else 1
            if array.ndim != dimensions or len(array) != len(self.fingerprints):
                message = f'`{field.name}` has shape {array.shape} for {len(self.fingerprints)} candidates'
                raise InvalidInputError(message)

    def __len__(self) -> int:
        return len(self.fingerprints)

    def require(self, name: str) -> NDArray[np.float64]:
        """Return the array called ``name``, finite for every eligible candidate.

        :raises InvalidInputError: if it was left out or an eligible candidate lacks a value.
        """
        array: NDArray[np.float64] | None = getattr(self, name)
        if array is None:
            raise InvalidInputError(f'this acquisition needs `{name}` of every candidate')
        finite = np.isfinite(array).reshape(len(self), -1).all(axis=1)
        bad = np.flatnonzero(self.eligible & ~finite)
        if len(bad):
            message = f'`{name}` of the eligible candidate {bad[0]} is not finite: make it ineligible or predict it'
            raise InvalidInputError(message)
        return array


class Scores(t.NamedTuple):
    """Scores of a pool.

    :param total: higher is computed first; −inf if not eligible, shape (n,).
    :param terms: the scaled terms, NaN if not eligible, each of shape (n,).
    :param scaling: per term the values that were scaled to 0 (``lower``) and to 1 (``upper``), and its ``weight``.
    """

    total: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]
    scaling: Scaling


def score(
    pool: CandidatePool,
    arm: str = 'hybrid',
    *,
    divergence: str = 'absolute',
    num_clusters: int = NUM_CLUSTERS,
    seed: int = 0,
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
            raise InvalidInputError(f'unknown {name} `{value}`: choose from {", ".join(allowed)}')
    total = np.where(pool.eligible, 0.0, -np.inf)
    terms: dict[str, NDArray[np.float64]] = {}
    scaling: Scaling = {}
    if not pool.eligible.any():
        return Scores(total, terms, scaling)
    for name, (weight, values) in ARMS[arm](pool, divergence, num_clusters, seed).items():
        lower, upper = (0.0, 1.0) if name in BOUNDED else scale(values[pool.eligible])
        scaled = (values - lower) / (upper - lower) if upper > lower else np.zeros(len(pool))
        terms[name] = np.where(pool.eligible, scaled, np.nan)
        scaling[name] = {'lower': lower, 'upper': upper, 'weight': weight}
        total[pool.eligible] += weight * scaled[pool.eligible]
    return Scores(total, terms, scaling)


def scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the values that become 0 and 1: the smallest and the 95 % quantile, or the largest if these are equal."""
    lower, upper = float(values.min()), float(np.quantile(values, SCALE_QUANTILE))
    return lower, upper if upper > lower else float(values.max())


def diversity_scores(
    features: NDArray[np.float64], *, num_clusters: int = NUM_CLUSTERS, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return U in (0, 1] and the cluster of every candidate.

    The paper names k-means and not the score. Here U(x) = 1 − r / m, where m is the size of the cluster of x and r the
    number of its members closer to its centre: the representative of every cluster, however small, has U = 1, and the
    more of its kind are more typical than x, the less x adds to them. Features are standardised first; constant ones
    drop out.

    :param features: descriptor or latent vectors, shape (n, d), finite.
    :param num_clusters: k; reduced to the number of distinct vectors.
    :param seed: of the k-means initialisation.
    :return: U, shape (n,), and labels, shape (n,).
    :raises InvalidInputError: if a feature is not finite or k is not positive.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise InvalidInputError(f'features must be a finite array of shape (n, d), not of shape {features.shape}')
    if num_clusters < 1:
        raise InvalidInputError(f'num_clusters must be at least 1, not {num_clusters}')
    if len(features) == 0:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    from sklearn.cluster import KMeans

    spread = features.std(axis=0)
    varying = spread > 1e-12
    scaled = (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]
    if not varying.any():
        scaled = np.zeros((len(features), 1))
    distinct = len(np.unique(scaled.round(9), axis=0))
    model = KMeans(n_clusters=min(num_clusters, distinct), n_init=4, random_state=seed).fit(scaled)
    labels = model.labels_.astype(np.int64)
    distance = np.linalg.norm(scaled - model.cluster_centers_[labels], axis=1)
    scores = np.ones(len(features))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # equal distances share a rank, so that duplicates get the same score
        closer = (distance[members][None, :] < distance[members][:, None] - 1e-9).sum(axis=1)
        scores[members] = 1.0 - closer / len(members)
    return scores, labels


def hit_probability(
    signed: NDArray[np.float64], sigma: NDArray[np.float64], share: float = HIT_SHARE
) -> NDArray[np.float64]:
    """Return the probability that the divergence of each of n candidates is among the largest of the pool, shape (n,).

    Active search (Garnett et al., Bayesian Optimal Active Search and Surveying, ICML 2012): the probability that
    abs(Δ) > τ for Δ normal, where τ is such that the expected number of such candidates is ``share`` of the pool.

    :param signed: expected E_PBE − E_MF, eV/atom, shape (n,); of what was computed, the difference itself.
    :param sigma: its standard deviation, eV/atom, shape (n,).
    """
    if len(signed) == 0:
        return np.zeros(0)
    spread = np.maximum(sigma, SIGMA_FLOOR)
    return probability_beyond(signed, spread, hit_threshold(signed, spread, share))


def expected_improvement(
    signed: NDArray[np.float64], sigma: NDArray[np.float64], share: float = HIT_SHARE
) -> NDArray[np.float64]:
    """Return by how much the divergence of n candidates is expected to exceed that of a hit, eV/atom, shape (n,).

    E[max(abs(Δ) − τ, 0)] for Δ normal (Jones, Schonlau and Welch, J. Global Optim. 13, 455 (1998)), with the τ of
    :func:`hit_probability` in the place of the best value so far: a campaign looks for many hits, not for the largest.
    """
    from scipy.special import ndtr

    if len(signed) == 0:
        return np.zeros(0)
    spread = np.maximum(sigma, SIGMA_FLOOR)
    threshold = hit_threshold(signed, spread, share)
    found = np.zeros(len(signed))
    for side in (signed, -signed):
        z = (side - threshold) / spread
        found += (side - threshold) * ndtr(z) + spread * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return found


def knowledge_gradient(
    signed: NDArray[np.float64], sigma: NDArray[np.float64], share: float = HIT_SHARE
) -> NDArray[np.float64]:
    """Return by how much a decision about each of n candidates gains by computing it, as expected, eV/atom, shape (n,).

    The decision is whether a candidate counts as a hit, which is worth abs(Δ) − τ, with the τ of
    :func:`hit_probability`: E[max(abs(Δ) − τ, 0)] − max(E[abs(Δ)] − τ, 0) for independent normal Δ (Frazier, Powell and
    Dayanik, SIAM J. Control Optim. 47, 2410 (2008)). It is largest where it is open whether a candidate is a hit: this
    arm learns where the hits end, and leaves the certain ones for later.
    """
    from scipy.special import ndtr

    if len(signed) == 0:
        return np.zeros(0)
    spread = np.maximum(sigma, SIGMA_FLOOR)
    z = signed / spread
    folded = spread * math.sqrt(2 / math.pi) * np.exp(-0.5 * z**2) + signed * (1 - 2 * ndtr(-z))
    without = np.maximum(folded - hit_threshold(signed, spread, share), 0.0)
    return np.maximum(expected_improvement(signed, sigma, share) - without, 0.0)


def probability_beyond(
    signed: NDArray[np.float64], spread: NDArray[np.float64], threshold: float
) -> NDArray[np.float64]:
    """Return the probability that abs(Δ) exceeds a threshold, shape (n,)."""
    from scipy.special import ndtr

    found: NDArray[np.float64] = ndtr((signed - threshold) / spread) + ndtr((-signed - threshold) / spread)
    return found


def hit_threshold(signed: NDArray[np.float64], spread: NDArray[np.float64], share: float) -> float:
    """Return the divergence that the expected number of ``share`` of the candidates exceeds, eV/atom."""
    from scipy.optimize import brentq

    highest = float((np.abs(signed) + 10 * spread).max())
    return float(
        brentq(lambda threshold: float(probability_beyond(signed, spread, threshold).mean()) - share, 0.0, highest)
    )


def _of_hits(
    pool: CandidatePool, function: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return what a function of Δ and σ says of every candidate; those without a prediction count for no share."""
    signed, sigma = pool.require('divergence_signed'), pool.require('divergence_sigma')
    known = np.isfinite(signed) & np.isfinite(sigma)
    found = np.full(len(pool), np.nan)
    found[known] = function(signed[known], sigma[known])
    return found


def _per_cost(pool: CandidatePool, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values of candidates divided by what it costs to compute them.

    :raises InvalidInputError: if the cost of an eligible candidate is not positive.
    """
    if pool.cost is None:
        return values
    cost = pool.require('cost')
    if (cost[pool.eligible] <= 0).any():
        raise InvalidInputError('the cost of every eligible candidate must be positive')
    return np.where(pool.eligible, values / np.where(pool.eligible, cost, 1.0), np.nan)


def _divergence(pool: CandidatePool, kind: str) -> NDArray[np.float64]:
    if kind == 'relative':
        return pool.require('divergence') / np.maximum(pool.require('divergence_sigma'), SIGMA_FLOOR)
    return pool.require('divergence_signed' if kind == 'signed' else 'divergence')


def _diversity(pool: CandidatePool, num_clusters: int, seed: int) -> NDArray[np.float64]:
    features = pool.require('features')
    scores = np.full(len(pool), np.nan)
    scores[pool.eligible] = diversity_scores(features[pool.eligible], num_clusters=num_clusters, seed=seed)[0]
    return scores


Arm = Callable[[CandidatePool, str, int, int], dict[str, tuple[float, NDArray[np.float64]]]]
"""From a pool, the kind of divergence, k and a seed to the weight and the values of each term."""

ARMS: dict[str, Arm] = {
    # the rule of the paper
    'hybrid': lambda pool, kind, k, seed: {
        'divergence': (DIVERGENCE_WEIGHT, _divergence(pool, kind)),
        'diversity': (DIVERSITY_WEIGHT, _diversity(pool, k, seed)),
    },
    'random': lambda pool, kind, k, seed: {'random': (1.0, np.random.default_rng(seed).random(len(pool)))},
    'divergence': lambda pool, kind, k, seed: {'divergence': (1.0, _divergence(pool, kind))},
    'diversity': lambda pool, kind, k, seed: {'diversity': (1.0, _diversity(pool, k, seed))},
    'uncertainty': lambda pool, kind, k, seed: {'sigma': (1.0, pool.require('sigma'))},
    'low_fidelity_rank': lambda pool, kind, k, seed: {'low_fidelity': (1.0, -pool.require('low_fidelity_energy'))},
    # both are energies: the upper confidence bound; in units of σ, σ is 1
    'divergence_plus_sigma': lambda pool, kind, k, seed: {
        'bound': (1.0, _divergence(pool, kind) + (1.0 if kind == 'relative' else pool.require('sigma')))
    },
    'hit_probability': lambda pool, kind, k, seed: {'hit': (1.0, _of_hits(pool, hit_probability))},
    'expected_improvement': lambda pool, kind, k, seed: {'excess': (1.0, _of_hits(pool, expected_improvement))},
    'knowledge_gradient': lambda pool, kind, k, seed: {
        'gain': (1.0, _per_cost(pool, _of_hits(pool, knowledge_gradient)))
    },
    # for benchmarks: what a perfect predictor of D would choose
    'oracle_divergence': lambda pool, kind, k, seed: {'true_divergence': (1.0, pool.require('true_divergence'))},
}
