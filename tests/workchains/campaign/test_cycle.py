"""The rules that end a campaign."""

from __future__ import annotations

import pytest

from aiida_qagenai.selection.stopping import BudgetSpent, EmptyCycles, reason_to_stop
from aiida_qagenai.workchains.campaign.campaign import cycle_records


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
