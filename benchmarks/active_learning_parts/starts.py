"""What a campaign begins with: at random, unlike each other, or the extremes of the lower level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from active_learning_parts.pools import Pool
from active_learning_parts.replay import candidates
from aiida_qagenai.selection.choose import choose

KINDS = ('random', 'diverse', 'extremes')


def start(pool: Pool, kind: str, number: int, seed: int) -> NDArray[np.int64]:
    """Return the initial compounds of a campaign, shape (number,).

    :param kind: one of ``KINDS``.
    """
    shuffled = np.random.default_rng([seed, 1]).permutation(len(pool))
    if kind == 'random':
        return shuffled[:number]
    if kind == 'diverse':
        seen = candidates(pool, shuffled[:1], np.zeros(len(pool)), np.ones(len(pool)))
        chosen = choose(seen, budget_k=number - 1, audit_fraction=0.0, arm='diversity', seed=seed).chosen
        return np.concatenate([shuffled[:1], chosen])
    order = np.argsort(pool.low, kind='stable')
    return np.stack([order, order[::-1]], axis=1).ravel()[:number]
