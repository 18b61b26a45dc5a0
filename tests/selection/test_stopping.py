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
    default_rules,
    reason_to_stop,
    replay,
)


def history(*stable, computed=10, sigma=None):
    total = computed * len(stable)
    return [
        CycleRecord(computed, count, total - computed * (index + 1), None if sigma is None else sigma[index])
        for index, count in enumerate(stable)
    ]


def test_each_rule_stops_where_it_says():
    assert replay(FixedCycles(2), history(1, 1, 1)) == 2
    assert replay(EmptyCycles(3), history(0, 0, 1, 0, 0, 0, 1)) == 6
    assert replay(BudgetSpent(), history(1, 1, 1, 1)) == 4
    assert replay(DiminishingReturns(fraction=0.5, cycles=2), history(4, 4, 3, 1, 1, 0)) == 5
    assert replay(SigmaThreshold(0.02), history(1, 1, 1, sigma=[0.1, 0.01, 0.001])) == 2


def test_no_rule_stops_before_the_first_cycle():
    rules = [FixedCycles(1), EmptyCycles(), BudgetSpent(), DiminishingReturns(), SigmaThreshold()]
    assert reason_to_stop(rules, []) is None


def test_the_first_rule_that_fires_is_named():
    name, reason = reason_to_stop(default_rules(), history(0, 0, 0, 1)[:3])
    assert name == 'empty_cycles'
    assert '3 cycles' in reason


def test_diminishing_returns_needs_earlier_discoveries():
    assert DiminishingReturns(cycles=1).reason(history(0, 0, 0)) is None


@pytest.mark.parametrize('make', [lambda: FixedCycles(0), lambda: EmptyCycles(-1), lambda: SigmaThreshold(0)])
def test_bad_parameters_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()
