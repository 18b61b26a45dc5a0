"""Counts and costs of a campaign."""

from __future__ import annotations

import typing as t

import pytest
from aiida import orm
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_qagenai.calculations.functions.ledger import open_ledger, remaining_budget, update_ledger
from aiida_qagenai.common.errors import InvalidInputError


class TestLedger:
    """Counts and costs."""

    ENTRY: t.ClassVar = {'eligible': 3, 'budget': 10, 'core_hours': {'pyscf': 1.0, 'ml': 0.5}}

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(0, 3), max_size=3))
    def test_what_is_spent_adds_up(self, aiida_profile, calls):
        """The remaining budget is the budget less all calls."""
        ledger = open_ledger(orm.Dict({'core_hours': {'pyscf': 2.0, 'ml': 0.0}}))
        for number, count in enumerate(calls, start=1):
            ledger = update_ledger(ledger, orm.Dict({**self.ENTRY, 'cycle': number, 'oracle_calls': count}))
        assert remaining_budget(ledger.get_dict(), 10) == 10 - sum(calls)
        assert ledger['core_hours'] == pytest.approx(2.0 + 1.5 * len(calls))

    def test_a_cycle_is_never_counted_twice(self, aiida_profile_clean):
        """The second entry of one cycle is refused."""
        entry = orm.Dict({**self.ENTRY, 'cycle': 1, 'oracle_calls': 1})
        ledger = update_ledger(open_ledger(orm.Dict({})), entry)
        with pytest.raises(InvalidInputError, match='counted twice'):
            update_ledger(ledger, entry)

    def test_the_budget_is_never_exceeded(self, aiida_profile_clean):
        """More calls than allowed are an error, not a rounding."""
        entry = orm.Dict({**self.ENTRY, 'cycle': 1, 'oracle_calls': 11})
        with pytest.raises(InvalidInputError, match='exceed the budget'):
            update_ledger(open_ledger(orm.Dict({})), entry)
