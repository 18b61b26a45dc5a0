"""Keep the ledger of a campaign: what every cycle did and cost."""

from __future__ import annotations

import typing as t

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('open_ledger', 'remaining_budget', 'update_ledger')


@calcfunction
def open_ledger(seed: Dict) -> Dict:
    """Return the ledger before the first cycle.

    :param seed: counts and costs of the initial training set, which does not use up the budget.
    """
    costs = seed.get_dict()
    return Dict(
        {
            'spent': 0,
            'core_hours': sum(costs.get('core_hours', {}).values()),
            'seed': costs,
            'cycles': [],
        }
    )


@calcfunction
def update_ledger(previous: Dict, entry: Dict) -> Dict:
    """Return ``previous`` with one more cycle.

    :param entry: what happened: at least ``cycle``, ``eligible``, ``oracle_calls``, the ``budget`` in force and
        ``core_hours`` by component.
    :raises InvalidInputError: if the cycle is already in the ledger or the budget would be exceeded.
    """
    ledger, cycle = previous.get_dict(), entry.get_dict()
    if any(known['cycle'] == cycle['cycle'] for known in ledger['cycles']):
        raise InvalidInputError(f'cycle {cycle["cycle"]} is already in the ledger: it would be counted twice')
    spent = ledger['spent'] + cycle['oracle_calls']
    if spent > cycle['budget']:
        raise InvalidInputError(f'{spent} calls exceed the budget of {cycle["budget"]}')
    return Dict(
        {
            **ledger,
            'spent': spent,
            'core_hours': ledger['core_hours'] + sum(cycle['core_hours'].values()),
            'cycles': [*ledger['cycles'], cycle],
        }
    )


def remaining_budget(ledger: dict[str, t.Any], budget: int) -> int:
    """Return how many oracle calls are left: the budget is a setting, which a continuation may raise."""
    return max(0, budget - int(ledger['spent']))
