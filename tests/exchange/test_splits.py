"""Splits by hash."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import MIN_GROUPS, hashed_splits

FRACTIONS = (0.8, 0.1, 0.1, 0.0)


def names(count: int) -> np.ndarray:
    """Return ``count`` identifiers."""
    return np.array([f'000-{index:05d}' for index in range(count)])


@given(st.lists(st.integers(0, 3 * MIN_GROUPS), min_size=2, max_size=150), st.integers(0, 5), st.data())
def test_a_structure_keeps_its_split_when_the_set_grows(formulas, seed, data):
    """What was held out stays held out, also where the set comes to have enough formulas to split by them."""
    size = data.draw(st.integers(1, len(formulas) - 1))
    groups = np.array([f'Li{formula}H' for formula in formulas])
    before = hashed_splits(names(size), groups[:size], fractions=FRACTIONS, seed=seed)
    after = hashed_splits(names(len(groups)), groups, fractions=FRACTIONS, seed=seed, known=before)
    assert (after[:size] == before).all()


def test_new_structures_follow_those_of_their_formula():
    """A formula that lies in one split stays in it."""
    groups = np.array([f'Li{index}H' for index in range(MIN_GROUPS)])
    before = hashed_splits(names(5), groups[:5], fractions=(0.0, 1.0, 0.0, 0.0), seed=0)
    grown = np.concatenate([groups, groups[:5]])
    after = hashed_splits(names(len(grown)), grown, fractions=(1.0, 0.0, 0.0, 0.0), seed=0, known=before)
    assert after[-5:].tolist() == before.tolist() == [1] * 5
    assert set(after[5:-5].tolist()) == {0}


def test_many_formulas_are_never_separated():
    """With enough groups, all structures of one formula share a split."""
    groups = np.array([f'Li{index % (2 * MIN_GROUPS)}H' for index in range(400)])
    split = hashed_splits(names(400), groups, fractions=FRACTIONS, seed=0)
    assert len(set(split.tolist())) > 1
    for group in set(groups.tolist()):
        assert len(set(split[groups == group].tolist())) == 1


def test_shares_are_met_on_average():
    """Four fifths go to the training split."""
    split = hashed_splits(names(5000), np.array(['LiH'] * 5000), fractions=FRACTIONS, seed=3)
    assert np.bincount(split, minlength=4) / 5000 == pytest.approx(FRACTIONS, abs=0.02)


@pytest.mark.parametrize('fractions', [(0.5, 0.5), (0.8, 0.1, 0.1, 0.1), (1.2, -0.2, 0.0, 0.0)])
def test_shares_that_make_no_sense_are_refused(fractions):
    """Shares must be four, not negative, and sum to 1."""
    with pytest.raises(InvalidInputError, match='shares that sum to 1'):
        hashed_splits(names(3), np.array(['LiH'] * 3), fractions=fractions, seed=0)
