"""One campaign on a table: choose, look up, learn, until half of the hits are found."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from active_learning_parts.pools import Array, Pool
from active_learning_parts.surrogates import GaussianProcess, Steady
from active_learning_parts.trials import lookahead, thompson
from aiida_qagenai.selection.acquisition import CandidatePool
from aiida_qagenai.selection.choose import choose

INITIAL, BATCH, RECALL = 10, 5, 0.5
EXPLORED = 0.2
"""Share of the calls of a campaign that ends with exploration: those with the largest uncertainty."""

ARMS = {
    'random': ('random', 'absolute'),
    'low-fidelity': ('low_fidelity_rank', 'absolute'),
    'uncertainty': ('uncertainty', 'absolute'),
    'diversity': ('diversity', 'absolute'),
    'divergence': ('divergence', 'absolute'),
    'divergence-relative': ('divergence', 'relative'),
    'divergence-signed': ('divergence', 'signed'),
    'divergence-plus-sigma': ('divergence_plus_sigma', 'absolute'),
    'hybrid': ('hybrid', 'absolute'),
    'hit-probability': ('hit_probability', 'absolute'),
    'expected-improvement': ('expected_improvement', 'absolute'),
    'knowledge-gradient': ('knowledge_gradient', 'absolute'),
    'thompson': ('oracle_divergence', 'absolute'),
    'lookahead': ('oracle_divergence', 'absolute'),
    'oracle': ('oracle_divergence', 'absolute'),
}
"""Acquisition and kind of divergence of each arm; the last one knows the answer and is the ceiling.

The two before it are no acquisitions of the package: they are scored by ``trials`` in the place of the answer.
"""

TRIALS = ('thompson', 'lookahead')

BLIND = frozenset({'random', 'low-fidelity', 'diversity', 'oracle'})
"""Arms that need no prediction."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What came out of one campaign.

    :param calls: calculations until the share ``RECALL`` of the hits was found, the initial ones included.
    :param found: hits after each call, shape (calls,).
    :param mae: mean absolute error of the last surrogate on what was not computed, eV/atom.
    :param coverage: share of these errors within 1.645 standard deviations, which 90 % should be.
    :param random_mae: error of the surrogate from as many compounds chosen at random, eV/atom.
    :param cost: of these calculations, atoms of their formula units.
    :param explored_mae: error after further calculations, a share ``EXPLORED`` of all, of the most uncertain compounds.
    :param explored_random_mae: that from as many compounds, all chosen at random.
    """

    calls: int
    found: tuple[int, ...]
    mae: float
    coverage: float
    random_mae: float
    cost: float
    explored_mae: float
    explored_random_mae: float


def replay(
    pool: Pool, surrogate: GaussianProcess, arm: str, seed: int, initial: NDArray[np.int64] | None = None
) -> Record:
    """Run one campaign. Campaigns with the same seed begin with the same compounds, whatever the arm.

    :param initial: compounds to begin with, ``INITIAL`` at random if None.
    """
    hits, shuffled = pool.hits, np.random.default_rng([seed, 1]).permutation(len(pool))
    wanted = int(np.ceil(RECALL * hits.sum()))
    first = shuffled[:INITIAL] if initial is None else initial
    computed = search(pool, surrogate, arm, seed, hits=hits, wanted=wanted, initial=first)
    found = np.cumsum(hits[computed])
    calls = int(np.argmax(found >= wanted)) + 1
    mae, coverage = _quality(pool, surrogate, computed)
    more = explore(pool, surrogate, computed, seed)
    return Record(
        calls,
        tuple(found[:calls].tolist()),
        mae,
        coverage,
        random_mae=_quality(pool, surrogate, shuffled[: len(computed)])[0],
        cost=float(pool.cost[computed[:calls]].sum()),
        explored_mae=_quality(pool, surrogate, more)[0],
        explored_random_mae=_quality(pool, surrogate, shuffled[: len(more)])[0],
    )


def search(
    pool: Pool,
    surrogate: GaussianProcess | Steady,
    arm: str,
    seed: int,
    *,
    hits: NDArray[np.bool_],
    wanted: int,
    initial: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return what a campaign computes until so many hits are found, in its order.

    Every batch is chosen by the function that chooses in campaigns, without an audit.

    :param hits: shape (n,).
    :param initial: compounds to begin with.
    """
    acquisition, divergence = ARMS[arm]
    computed = initial
    unknown = np.zeros(len(pool)), np.ones(len(pool))
    while hits[computed].sum() < wanted:
        mean, sigma = unknown if arm in BLIND else surrogate(computed, pool.difference[computed])
        shown = candidates(pool, computed, mean, sigma)
        if arm in TRIALS:
            assert isinstance(surrogate, GaussianProcess)
            joint = surrogate.joint(computed, pool.difference[computed])
            scores = _trial(arm, joint, pool, computed, seed=seed)
            shown = dataclasses.replace(shown, true_divergence=scores)
        choice = choose(shown, budget_k=BATCH, audit_fraction=0.0, arm=acquisition, divergence=divergence, seed=seed)
        computed = np.concatenate([computed, choice.chosen])
    return computed


def explore(pool: Pool, surrogate: GaussianProcess, computed: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return what was computed and further compounds, ``EXPLORED`` of all, each time the most uncertain ones."""
    wanted = min(len(pool), round(len(computed) / (1 - EXPLORED)))
    while len(computed) < wanted:
        mean, sigma = surrogate(computed, pool.difference[computed])
        number = min(BATCH, wanted - len(computed))
        shown = candidates(pool, computed, mean, sigma)
        choice = choose(shown, budget_k=number, audit_fraction=0.0, arm='uncertainty', seed=seed)
        computed = np.concatenate([computed, choice.chosen])
    return computed


def _trial(arm: str, joint: tuple[Array, Array], pool: Pool, computed: NDArray[np.int64], *, seed: int) -> Array:
    """Return the scores of an arm that is no acquisition of the package, shape (n,).

    :param joint: mean and covariance of all compounds.
    """
    mean, covariance = joint
    if arm == 'thompson':
        return thompson(mean, covariance, seed + 1000 * len(computed))
    mean[computed], covariance[computed, computed] = pool.difference[computed], 0.0
    eligible = np.ones(len(pool), dtype=bool)
    eligible[computed] = False
    return lookahead(mean, covariance, eligible)


def _quality(pool: Pool, surrogate: GaussianProcess, computed: NDArray[np.int64]) -> tuple[float, float]:
    """Return error and coverage of the surrogate on what was not computed, see :class:`Record`."""
    rest = np.setdiff1d(np.arange(len(pool)), computed)
    if not len(rest):
        return 0.0, 1.0
    mean, sigma = surrogate(computed, pool.difference[computed])
    errors = np.abs(mean - pool.difference)[rest]
    return float(errors.mean()), float((errors <= 1.645 * sigma[rest]).mean())


def candidates(pool: Pool, computed: NDArray[np.int64], mean: Array, sigma: Array) -> CandidatePool:
    """Return what an acquisition sees: predictions, and the differences of what was computed."""
    eligible = np.ones(len(pool), dtype=bool)
    eligible[computed] = False
    signed, doubt = mean.copy(), sigma.copy()
    signed[computed], doubt[computed] = pool.difference[computed], 0.0
    return CandidatePool(
        fingerprints=tuple(f'{row:06d}' for row in range(len(pool))),
        eligible=eligible,
        divergence=np.abs(signed),
        divergence_signed=signed,
        divergence_sigma=doubt,
        sigma=doubt,
        low_fidelity_energy=pool.above_hull,
        features=pool.chemistry,
        cost=pool.cost,
        true_divergence=np.abs(pool.difference),
    )
