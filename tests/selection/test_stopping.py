"""Tests for :mod:`aiida_qagenai.selection.stopping`."""

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.stopping import (
    BudgetSpent,
    CycleRecord,
    DiminishingReturns,
    EmptyCycles,
    FixedCycles,
    SigmaThreshold,
    cycle_records,
    reason_to_stop,
)


def history(*stable, computed=10, sigma=None):
    total = computed * len(stable)
    return [
        CycleRecord(computed, count, total - computed * (index + 1), None if sigma is None else sigma[index])
        for index, count in enumerate(stable)
    ]


def first_stop(rule, records) -> int | None:
    """Return after how many cycles a rule stops, None if it does not."""
    ends = (cycles for cycles in range(1, len(records) + 1) if rule.reason(records[:cycles]))
    return next(ends, None)


def test_each_rule_stops_where_it_says():
    assert first_stop(FixedCycles(2), history(1, 1, 1)) == 2
    assert first_stop(EmptyCycles(3), history(0, 0, 1, 0, 0, 0, 1)) == 6
    assert first_stop(BudgetSpent(), history(1, 1, 1, 1)) == 4
    assert first_stop(SigmaThreshold(0.02), history(1, 1, 1, sigma=[0.1, 0.01, 0.001])) == 2


def test_diminishing_returns_looks_at_the_share_of_hits_so_far():
    """Shares 0.1, 0.2, 0.3 gain 0.1 each; with 4 of 10 every time there is no gain from the second cycle on."""
    assert first_stop(DiminishingReturns(), history(1, 3, 5)) is None
    assert first_stop(DiminishingReturns(), history(4, 4, 4, 4)) == 3
    assert first_stop(DiminishingReturns(0.0), history(0, 1, 1, 0, 0)) == 5


def test_no_rule_stops_before_the_first_cycle():
    rules = [FixedCycles(1), EmptyCycles(), BudgetSpent(), DiminishingReturns(), SigmaThreshold()]
    assert reason_to_stop(rules, []) is None


def test_the_first_rule_that_fires_is_named():
    name, reason = reason_to_stop((BudgetSpent(), EmptyCycles()), history(0, 0, 0, 1)[:3])
    assert name == 'empty_cycles'
    assert '3 cycles' in reason


def test_records_of_a_ledger():
    """Hits are counted where there are any, else what was eligible: a ledger of before has none."""
    common = {'oracle_calls': 2, 'eligible': 5}
    ledger = {'cycles': [common, {**common, 'hits': 1, 'divergence_hits': 2, 'mean_sigma': 0.1}]}
    assert [record.num_hits for record in cycle_records(ledger, 10)] == [5, 1]
    assert [record.num_hits for record in cycle_records(ledger, 10, count='divergence_hits')] == [5, 2]
    assert [record.remaining for record in cycle_records(ledger, 10)] == [8, 6]
    assert cycle_records(ledger, 10)[-1].mean_sigma == 0.1


@pytest.mark.parametrize(
    'make',
    [lambda: FixedCycles(0), lambda: EmptyCycles(-1), lambda: SigmaThreshold(0), lambda: DiminishingReturns(1.5)],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()
