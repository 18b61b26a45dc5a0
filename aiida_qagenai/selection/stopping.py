"""Rules that end a campaign, replayable on the record of any campaign (paper Algorithm 1, line 9, and section 8.2).

They count hits among computed energies, never among predictions.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from collections.abc import Mapping, Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.costs import energy_hours

__all__ = (
    'BudgetSpent',
    'CycleRecord',
    'DiminishingReturns',
    'EmptyCycles',
    'FixedCycles',
    'SigmaThreshold',
    'StoppingRule',
    'cycle_records',
    'reason_to_stop',
)


@dataclasses.dataclass(frozen=True)
class CycleRecord:
    """What the rules look at, one per finished cycle.

    :param num_computed: candidates of the cycle that were computed, failed ones included.
    :param num_hits: those of them that their computed energies confirmed.
    :param remaining: calls left afterwards.
    :param remaining_core_hours: core hours left afterwards; None without a budget of core hours.
    :param num_left_out: candidates that were chosen and not started, because they would not fit into the core hours.
    :param mean_sigma: mean predictive uncertainty on the top rung over the eligible candidates, eV/atom, if known.
    """

    num_computed: int
    num_hits: int
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
    """Rule A: stop after ``cycles`` cycles."""

    cycles: int
    name: str = 'fixed_cycles'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        return f'{len(history)} cycles done' if len(history) >= self.cycles else None


@dataclasses.dataclass(frozen=True)
class EmptyCycles(_PositiveNumbers):
    """Rule C: stop after ``cycles`` consecutive cycles without a hit."""

    cycles: int = 3
    name: str = 'empty_cycles'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        last = history[-self.cycles :]
        if len(last) == self.cycles and all(record.num_hits == 0 for record in last):
            return f'no hit in {self.cycles} cycles'
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
class DiminishingReturns:
    """Rule B: stop when the share of hits among all calls so far grew by ≤ ``gain`` in each of ``cycles`` cycles.

    As the paper states it ("ΔHitRate < 1 % for 2 cycles"): a campaign that goes on finding hits at a constant rate does
    not gain either, and is stopped.
    """

    gain: float = 0.01
    cycles: int = 2
    name: str = 'diminishing_returns'

    def __post_init__(self) -> None:
        if not 0 <= self.gain < 1 or self.cycles < 1:
            raise InvalidInputError(f'need 0 <= gain < 1 and cycles >= 1, not {self.gain} and {self.cycles}')

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        rates = _hit_rates(history)
        gains = [after - before for before, after in itertools.pairwise(rates)][-self.cycles :]
        if len(gains) == self.cycles and all(gain <= self.gain for gain in gains):
            return f'the share of hits grew by at most {self.gain:.3g} in {self.cycles} cycles, to {rates[-1]:.3g}'
        return None


def _hit_rates(history: Sequence[CycleRecord]) -> list[float]:
    """Return the share of hits among all calls up to each cycle."""
    calls = itertools.accumulate(record.num_computed for record in history)
    hits = itertools.accumulate(record.num_hits for record in history)
    return [found / number if number else 0.0 for found, number in zip(hits, calls, strict=True)]


@dataclasses.dataclass(frozen=True)
class SigmaThreshold(_PositiveNumbers):
    """Rule D: stop when the mean uncertainty of the eligible candidates falls below ``sigma`` (eV/atom)."""

    sigma: float = 0.010
    name: str = 'sigma_threshold'

    def reason(self, history: Sequence[CycleRecord]) -> str | None:
        value = history[-1].mean_sigma if history else None
        return f'mean sigma {value:.4f} eV/atom' if value is not None and value < self.sigma else None


def reason_to_stop(rules: Sequence[StoppingRule], history: Sequence[CycleRecord]) -> tuple[str, str] | None:
    """Return the name and the reason of the first of ``rules`` that says stop, or ``None``."""
    for rule in rules:
        reason = rule.reason(history)
        if reason is not None:
            return rule.name, reason
    return None


def cycle_records(
    ledger: Mapping[str, t.Any], budget: int, budget_core_hours: float | None = None, *, count: str = 'hits'
) -> list[CycleRecord]:
    """Return what the rules look at, one record per cycle of a ledger.

    A cycle that was recorded before hits were computed counts its eligible candidates, as the rules did then.

    :param count: entry of a cycle with the number of hits: ``hits`` or ``divergence_hits``.
    """
    remaining, hours, records = budget, budget_core_hours, []
    for cycle in ledger['cycles']:
        remaining -= cycle['oracle_calls']
        if hours is not None:
            hours -= energy_hours({'cycles': [cycle]})
        records.append(
            CycleRecord(
                cycle['oracle_calls'],
                cycle.get(count, cycle['eligible']),
                remaining,
                mean_sigma=cycle.get('mean_sigma'),
                remaining_core_hours=hours,
                num_left_out=len(cycle.get('left_out', {})),
            )
        )
    return records
