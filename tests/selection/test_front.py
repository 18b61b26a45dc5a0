"""The Pareto front: what nothing else beats."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.selection.front import pareto_front


def test_what_is_worse_in_both_is_not_on_the_front():
    assert pareto_front([[0, 3], [1, 1], [3, 0], [2, 2], [1, 4]]).tolist() == [True, True, True, False, False]


def test_equal_rows_are_on_it_together():
    assert pareto_front([[1, 1], [1, 1], [1, 2]]).tolist() == [True, True, False]


def test_the_unknown_is_not_on_the_front_and_beats_nothing():
    assert pareto_front([[np.nan, 0], [5, 5]]).tolist() == [False, True]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_beats_all_others_and_none_of_itself(points):
    """Each row off the front is beaten by one on it, and no row on it by any."""
    table = np.array(points)
    front = pareto_front(table)

    def beats(first, second):
        return (first <= second).all() and (first < second).any()

    assert front.any()
    for row, on in zip(table, front, strict=True):
        assert any(beats(other, row) for other in table[front]) != on
