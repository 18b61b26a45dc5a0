"""Rules that end a campaign, replayable on the record of any campaign (paper Algorithm 1, line 9, and section 6)."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'BudgetSpent',
    'CycleRecord',
    'DiminishingReturns',
    'EmptyCycles',
    'FixedCycles',
    'SigmaThreshold',
    'StoppingRule',
    'default_rules',
    'reason_to_stop',
    'replay',
)


@dataclasses.dataclass(frozen=True)
class CycleRecord:
    """What the rules look at, one per finished cycle.

    :param num_computed: high-fidelity calculations of the cycle, failed ones included.
    :param num_stable: stable candidates that they confirmed.
    :param remaining: calls left afterwards.
    :param remaining_core_hours: core hours left afterwards; None without a budget of core hours.
    :param num_left_out: candidates that were chosen and not started, because they would not fit into the core hours.
    :param mean_sigma: mean predictive uncertainty on the top rung over the cycle's pool, eV/atom, if known.
    """

    num_computed: int
    num_stable: int
    remaining: int
    mean_sigma: float | None = None
    remaining_core_hours: float | None = None
    num_left_out: int = 0


class StoppingRule(t.Protocol):
    """A rule that looks at all finished cycles."""

    @property
    def name(self) -> str:
        """Return the identifier of the rule in records."""

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        """Return why to stop after the last cycle of ``history``, or ``None``."""


class _PositiveNumbers:
    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != 'name' and not value > 0:
                raise InvalidInputError(f'`{name}` of a stopping rule must be positive, not {value}')


@dataclasses.dataclass(frozen=True)
class FixedCycles(_PositiveNumbers):
    """Stop after ``cycles`` cycles."""

    cycles: int
    name: str = 'fixed_cycles'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        return f'{len(history)} cycles done' if len(history) >= self.cycles else None


@dataclasses.dataclass(frozen=True)
class EmptyCycles(_PositiveNumbers):
    """Stop after ``cycles`` consecutive cycles without a stable candidate."""

    cycles: int = 3
    name: str = 'empty_cycles'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        last = history[-self.cycles :]
        if len(last) == self.cycles and all(record.num_stable == 0 for record in last):
            return f'no stable candidate in {self.cycles} cycles'
        return None


@dataclasses.dataclass(frozen=True)
class BudgetSpent:
    """Stop when no call remains, or when of the core hours too few are left for any candidate that was chosen."""

    name: str = 'budget_spent'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        if not history:
            return None
        last, hours = history[-1], history[-1].remaining_core_hours
        if last.remaining <= 0:
            return 'the budget is spent'
        if hours is not None and hours <= 0:
            return 'the budget of core hours is spent'
        if hours is not None and last.num_left_out and not last.num_computed:
            return f'none of {last.num_left_out} candidates fits into the {hours:.3g} core hours that are left'
        return None


@dataclasses.dataclass(frozen=True)
class DiminishingReturns(_PositiveNumbers):
    """Stop when the last ``cycles`` found less than ``fraction`` of the mean number per call found until then."""

    fraction: float = 0.1
    cycles: int = 3
    name: str = 'diminishing_returns'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        recent, before = history[-self.cycles :], history[: -self.cycles]
        calls_before = sum(record.num_computed for record in before)
        calls_recent = sum(record.num_computed for record in recent)
        if not calls_before or not calls_recent:
            return None
        rate_before = sum(record.num_stable for record in before) / calls_before
        rate_recent = sum(record.num_stable for record in recent) / calls_recent
        if rate_before > 0 and rate_recent < self.fraction * rate_before:
            return f'{rate_recent:.3g} stable candidates per call in {self.cycles} cycles, {rate_before:.3g} before'
        return None


@dataclasses.dataclass(frozen=True)
class SigmaThreshold(_PositiveNumbers):
    """Stop when the mean uncertainty of the pool falls below ``sigma`` (eV/atom)."""

    sigma: float = 0.010
    name: str = 'sigma_threshold'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        value = history[-1].mean_sigma if history else None
        return f'mean sigma {value:.4f} eV/atom' if value is not None and value < self.sigma else None


def default_rules() -> tuple[StoppingRule, ...]:
    """Return the rules of Algorithm 1: the budget, and three empty cycles."""
    return (BudgetSpent(), EmptyCycles())


def reason_to_stop(rules: Sequence[StoppingRule], history: Sequence[CycleRecord]) -> tuple[str, str] | None:
    """Return the name and the reason of the first of ``rules`` that says stop, or ``None``."""
    for rule in rules:
        reason = rule.reason(history)
        if reason is not None:
            return rule.name, reason
    return None


def replay(rule: StoppingRule, history: Sequence[CycleRecord]) -> int:
    """Return after how many cycles ``rule`` would have stopped a recorded campaign (its length if it never did)."""
    ends = range(1, len(history) + 1)
    return next((cycles for cycles in ends if rule.reason(history[:cycles]) is not None), len(history))
