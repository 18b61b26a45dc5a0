"""The rules that end a campaign."""

from __future__ import annotations

import pytest

from aiida_qagenai.selection.stopping import BudgetSpent, EmptyCycles, cycle_records, reason_to_stop
from aiida_qagenai.workchains.protocols.campaign import campaign_settings


def cycles(*hits: int) -> dict:
    """Return a ledger of cycles with these numbers of hits, two calls each, all with eligible candidates."""
    return {'cycles': [{'oracle_calls': 2, 'eligible': 9, 'hits': number} for number in hits]}


@pytest.mark.parametrize(
    ('ledger', 'budget', 'rule'),
    [
        (cycles(), 10, None),
        (cycles(3, 0, 0), 10, None),
        (cycles(3, 0, 0, 0), 10, 'empty_cycles'),
        (cycles(3, 3), 4, 'budget_spent'),
        (cycles(3, 3), 5, None),
    ],
)
def test_stopping(ledger, budget, rule):
    """Three cycles without a computed hit or a spent budget end the campaign, whatever was predicted."""
    stop = reason_to_stop((BudgetSpent(), EmptyCycles(3)), cycle_records(ledger, budget))
    assert (stop[0] if stop else None) == rule


@pytest.mark.parametrize(
    ('stop', 'names'),
    [
        ({}, ['fixed_cycles', 'budget_spent', 'empty_cycles']),
        ({'max_empty_cycles': None}, ['fixed_cycles', 'budget_spent']),
        (
            {'min_hit_rate_gain': 0.01, 'min_sigma': 0.01},
            ['fixed_cycles', 'budget_spent', 'empty_cycles', 'diminishing_returns', 'sigma_threshold'],
        ),
    ],
)
def test_rules_that_are_asked_for(stop, names):
    """Every rule of the paper can be chosen by the settings."""
    assert [rule.name for rule in campaign_settings('fast', {'stop': stop}).stop.rules()] == names


@pytest.mark.parametrize(
    ('cycle', 'reason'),
    [
        ({'core_hours': {'pyscf': 0.5, 'espresso': 0.2, 'ml': 9.0}}, None),
        ({'core_hours': {'pyscf': 0.9, 'espresso': 0.2, 'ml': 0.0}}, 'core hours is spent'),
        ({'left_out': {'c1': 2.0}}, None),
        ({'left_out': {'c1': 2.0, 'c2': 3.0}, 'oracle_calls': 0}, 'none of 2 candidates fits into the 0.9 core hours'),
    ],
)
def test_core_hours_end_a_campaign(cycle, reason):
    """What energies have cost counts, not what the models did; what fits into the rest goes on."""
    entry = {'oracle_calls': 2, 'eligible': 3, 'core_hours': {'pyscf': 0.1}, **cycle}
    stop = reason_to_stop((BudgetSpent(),), cycle_records({'cycles': [entry]}, 10, 1.0))
    assert (stop is None) == (reason is None)
    assert reason is None or reason in stop[1]
    assert reason_to_stop((BudgetSpent(),), cycle_records({'cycles': [entry]}, 10)) is None
