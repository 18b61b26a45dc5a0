"""Requests to the generator and the rules that end a campaign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.selection.stopping import BudgetSpent, EmptyCycles, reason_to_stop
from aiida_qagenai.workchains.campaign.campaign import cycle_records
from aiida_qagenai.workchains.campaign.cycle import generation_requests


@given(st.integers(1, 500), st.integers(2, 8), st.floats(0, 1))
def test_no_candidate_is_lost_to_rounding(count, max_atoms, fraction):
    """The requests add up to the number of candidates asked for."""
    requests = generation_requests(['Li', 'H'], count, max_atoms=max_atoms, neutral_fraction=fraction)
    assert sum(request['count'] for request in requests) == count
    assert all(request['count'] > 0 for request in requests)


def test_fixed_compositions_are_neutral():
    """Li and H balance one to one."""
    requests = generation_requests(['Li', 'H'], 10, max_atoms=4, neutral_fraction=1)
    assert [request['composition'] for request in requests] == [{'Li': 1, 'H': 1}, {'Li': 2, 'H': 2}]


def test_without_a_neutral_composition_everything_is_free():
    """A system of metals only has no neutral composition; nothing is dropped."""
    (request,) = generation_requests(['Li', 'Na'], 10, max_atoms=2, neutral_fraction=1)
    assert request['mode'] == 'chemical_system'
    assert request['count'] == 10


def cycles(*eligible: int) -> dict:
    """Return a ledger of cycles with these numbers of eligible candidates, two calls each."""
    return {'cycles': [{'oracle_calls': 2, 'eligible': number} for number in eligible]}


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
    """Three empty cycles or a spent budget end the campaign."""
    stop = reason_to_stop((BudgetSpent(), EmptyCycles(3)), cycle_records(ledger, budget))
    assert (stop[0] if stop else None) == rule
