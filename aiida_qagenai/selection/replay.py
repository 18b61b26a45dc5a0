"""When each stopping rule would have ended a recorded campaign, and what it would have cost (paper 8.2, Figure 10)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from aiida_qagenai.selection.stopping import (
    CycleRecord,
    DiminishingReturns,
    EmptyCycles,
    FixedCycles,
    SigmaThreshold,
    StoppingRule,
)

__all__ = ('PAPER_RULES', 'Replay', 'empty_cycles_sensitivity', 'replay', 'replay_rules')

PAPER_RULES: Mapping[str, StoppingRule] = {
    'A: 10 cycles': FixedCycles(10),
    'B: share of hits grows by ≤ 1 % in 2 cycles': DiminishingReturns(0.01, 2),
    'C: 2 cycles without a hit': EmptyCycles(2),
    'C: 3 cycles without a hit': EmptyCycles(3),
    'C: 4 cycles without a hit': EmptyCycles(4),
    'D: mean σ < 10 meV/atom': SigmaThreshold(0.010),
}
"""The rules that the paper compares, with its numbers."""

FIELDS = ('num_computed', 'num_hits')


@dataclasses.dataclass(frozen=True)
class Replay:
    """What one rule would have made of a recorded campaign.

    :param stops: whether the rule fires within the record; if not, all numbers are those of the whole record.
    :param cycles: cycles that would have been run.
    :param calls: oracle calls of these cycles.
    :param hits: hits among them.
    :param calls_saved: share of all recorded calls that would not have been made.
    :param hits_kept: share of all recorded hits that would have been found; None without any hit.
    :param efficiency: hits per call, E of the paper; None without any call.
    :param reason: why the rule fires, or why it does not.
    """

    rule: str
    stops: bool
    cycles: int
    calls: int
    hits: int
    calls_saved: float
    hits_kept: float | None
    efficiency: float | None
    reason: str


def replay(name: str, rule: StoppingRule, history: Sequence[CycleRecord]) -> Replay:
    """Return what ``rule`` would have made of a recorded campaign.

    :param history: one record per cycle, in order. What would have followed the last one is not known.
    """
    ends = range(1, len(history) + 1)
    reasons = ((cycles, rule.reason(history[:cycles])) for cycles in ends)
    cycles, reason = next(((number, text) for number, text in reasons if text is not None), (len(history), None))
    calls, hits = (_sum(history[:cycles], field) for field in FIELDS)
    all_calls, all_hits = (_sum(history, field) for field in FIELDS)
    return Replay(
        rule=name,
        stops=reason is not None,
        cycles=cycles,
        calls=calls,
        hits=hits,
        calls_saved=1 - calls / all_calls if all_calls else 0.0,
        hits_kept=hits / all_hits if all_hits else None,
        efficiency=hits / calls if calls else None,
        reason=reason or _why_not(rule, history),
    )


def replay_rules(history: Sequence[CycleRecord], rules: Mapping[str, StoppingRule] = PAPER_RULES) -> list[Replay]:
    """Return what each rule would have made of a recorded campaign, in the order of ``rules``."""
    return [replay(name, rule, history) for name, rule in rules.items()]


def empty_cycles_sensitivity(
    history: Sequence[CycleRecord], sizes: Sequence[int] = (2, 4), reference: int = 3
) -> float | None:
    """Return the largest relative change of the efficiency of rule C when its N is another one.

    :param sizes: the other N.
    :param reference: the N that they are compared with.
    :returns: None if there is no hit to compare.
    """
    base = replay('', EmptyCycles(reference), history).efficiency
    others = [replay('', EmptyCycles(size), history).efficiency for size in sizes]
    known = [value for value in others if value is not None]
    return max(abs(value / base - 1) for value in known) if base and known else None


def _sum(history: Sequence[CycleRecord], field: str) -> int:
    return int(sum(getattr(record, field) for record in history))


def _why_not(rule: StoppingRule, history: Sequence[CycleRecord]) -> str:
    """Return why a rule does not fire within a record."""
    if isinstance(rule, SigmaThreshold) and all(record.mean_sigma is None for record in history):
        return 'no σ was recorded'
    return f'not within {len(history)} cycles'
