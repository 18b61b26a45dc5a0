"""Tests for :mod:`aiida_qagenai.selection.budget`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.budget import allocation


@pytest.mark.parametrize(
    ('remaining', 'expected'),
    [(0, 0), (1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (30, 3), (199, 19), (200, 20), (5000, 20)],
)
def test_the_paper_rule(remaining, expected):
    assert allocation(remaining) == expected


@given(total=st.integers(0, 500), fraction=st.floats(0.01, 1), cap=st.integers(1, 50))
def test_a_campaign_spends_its_budget_and_never_more(total, fraction, cap):
    remaining = total
    while remaining:
        k = allocation(remaining, fraction=fraction, cap=cap)
        assert 1 <= k <= min(cap, remaining)
        remaining -= k
    assert allocation(0, fraction=fraction, cap=cap) == 0


@pytest.mark.parametrize('arguments', [(-1, 0.1, 20), (10, 0.0, 20), (10, 1.5, 20), (10, 0.1, 0)])
def test_bad_allocations_are_refused(arguments):
    remaining, fraction, cap = arguments
    with pytest.raises(InvalidInputError):
        allocation(remaining, fraction=fraction, cap=cap)
