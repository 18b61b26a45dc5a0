"""The choice of a cycle: its share of the budget, the best candidates by score, and a random audit slice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.acquisition import CandidatePool, Scaling, score

__all__ = ('Choice', 'allocation', 'choose')


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which candidates to compute.

    :param order: indices of the distinct eligible candidates, best first.
    :param scores: total score, −inf if not eligible, shape (n,).
    :param ranks: 1 for the best, 0 if not eligible; duplicates share the rank of the first, shape (n,).
    :param selected: chosen by score, shape (n,).
    :param audit: chosen at random among the eligible that the score left, shape (n,).
    :param audit_probability: the probability with which each of those entered the audit, which makes rates measured
        on the audit unbiased for what the score left.
    :param scaling: what each term of the score was scaled by.
    :param terms: the scaled terms of the score, each of shape (n,).
    :param arm: the acquisition.
    :param seed: of everything random.
    """

    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]
    selected: NDArray[np.bool_]
    audit: NDArray[np.bool_]
    audit_probability: float
    scaling: Scaling
    terms: dict[str, NDArray[np.float64]]
    arm: str
    seed: int

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Return the indices to compute: the selected ones by rank, then the audit slice."""
        return np.concatenate([self.order[mask[self.order]] for mask in (self.selected, self.audit)])


def allocation(remaining: int, *, fraction: float = 0.1, cap: int = 20) -> int:
    """Return the calls to spend in one cycle: min(cap, ⌊fraction · remaining⌋), at least 1 if any is left.

    Paper Algorithm 1, line 6.

    :param remaining: calls left.
    :raises InvalidInputError: if a number is out of range.
    """
    if remaining < 0 or not 0 < fraction <= 1 or cap < 1:
        message = f'need remaining >= 0, 0 < fraction <= 1 and cap >= 1, not {remaining}, {fraction} and {cap}'
        raise InvalidInputError(message)
    # the decimal fraction 0.1 is a little more than a tenth in binary and other fractions a little less
    share = math.floor(fraction * remaining + 1e-9)
    return min(remaining, max(1, min(cap, share)))


def choose(
    pool: CandidatePool,
    *,
    budget_k: int,
    audit_fraction: float = 0.1,
    arm: str = 'hybrid',
    divergence: str = 'absolute',
    num_clusters: int = 50,
    seed: int = 0,
) -> Choice:
    """Return the at most ``budget_k`` candidates of ``pool`` to compute.

    Duplicates by fingerprint are one candidate, represented by the best-scored and then the first of them. Equal scores
    are ordered by fingerprint. The audit slice is part of ``budget_k``: its size is ``audit_fraction`` of it, rounded,
    and at least one where the fraction is positive and two or more can be computed.

    :param divergence: which D enters, see :func:`aiida_qagenai.selection.acquisition.score`.
    :raises InvalidInputError: on a number out of range, or where the pool lacks what the arm needs.
    """
    if budget_k < 0 or not 0 <= audit_fraction <= 1:
        message = f'a choice needs budget_k >= 0 and 0 <= audit_fraction <= 1, not {budget_k} and {audit_fraction}'
        raise InvalidInputError(message)
    scores = score(pool, arm, divergence=divergence, num_clusters=num_clusters, seed=seed)
    order, ranks = _ranking(pool, scores.total)
    number = min(budget_k, len(order))
    num_audit = max(round(audit_fraction * number), int(audit_fraction > 0 and number >= 2))
    selected, audit = np.zeros((2, len(pool)), dtype=bool)
    selected[order[: number - num_audit]] = True
    left = order[number - num_audit :]
    # a stream of its own: the audit must not depend on what the arm drew
    rng = np.random.default_rng([seed, 1])
    audit[rng.choice(left, size=num_audit, replace=False)] = True
    return Choice(
        order=order,
        scores=scores.total,
        ranks=ranks,
        selected=selected,
        audit=audit,
        audit_probability=num_audit / len(left) if len(left) else 0.0,
        scaling=scores.scaling,
        terms=scores.terms,
        arm=arm,
        seed=seed,
    )


def _ranking(pool: CandidatePool, total: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct eligible candidates, best first, and the rank of every candidate."""
    eligible = np.flatnonzero(pool.eligible).tolist()
    eligible.sort(key=lambda i: (-total[i], pool.fingerprints[i], i))
    best: dict[str, int] = {}
    for index in eligible:
        best.setdefault(pool.fingerprints[index], index)
    rank_of = {name: rank for rank, name in enumerate(best, start=1)}
    ranks = np.zeros(len(pool), dtype=np.int64)
    ranks[eligible] = [rank_of[pool.fingerprints[index]] for index in eligible]
    return np.array(list(best.values()), dtype=np.int64), ranks
