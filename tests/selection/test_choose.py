"""Tests for :mod:`aiida_qagenai.selection.choose`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.acquisition import CandidatePool
from aiida_qagenai.selection.choose import allocation, choose


def make_pool(divergence, eligible=None, fingerprints=None):
    number = len(divergence)
    return CandidatePool(
        fingerprints=tuple(fingerprints or (f'{i:03d}' for i in range(number))),
        eligible=np.ones(number, dtype=bool) if eligible is None else np.asarray(eligible),
        divergence=np.asarray(divergence, dtype=float),
    )


def test_the_best_are_chosen_and_one_is_audited():
    choice = choose(make_pool(np.arange(30.0)), budget_k=10, arm='divergence')
    assert set(np.flatnonzero(choice.selected)) == set(range(21, 30))
    assert choice.audit.sum() == 1
    assert np.flatnonzero(choice.audit)[0] < 21
    assert choice.audit_probability == pytest.approx(1 / 21)
    assert list(choice.chosen[:3]) == [29, 28, 27]
    assert choice.ranks[29] == 1


def test_a_tiny_budget_still_has_an_audit_from_two_calls_on():
    assert choose(make_pool([1.0, 2.0, 3.0]), budget_k=1, arm='divergence').audit.sum() == 0
    choice = choose(make_pool([1.0, 2.0, 3.0]), budget_k=2, arm='divergence')
    assert (choice.selected.sum(), choice.audit.sum()) == (1, 1)
    assert choose(make_pool([1.0, 2.0, 3.0]), budget_k=2, arm='divergence', audit_fraction=0).audit.sum() == 0


def test_duplicates_are_chosen_once_by_their_best():
    pool = make_pool([1.0, 5.0, 4.0, 3.0], fingerprints=['a', 'b', 'b', 'c'])
    choice = choose(pool, budget_k=4, arm='divergence', audit_fraction=0)
    assert list(choice.order) == [1, 3, 0]
    assert list(choice.selected) == [True, True, False, True]
    assert list(choice.ranks) == [3, 1, 1, 2]


def test_ties_are_broken_by_fingerprint_whatever_the_order():
    names = ['d', 'a', 'c', 'b']
    first = choose(make_pool([1.0] * 4, fingerprints=names), budget_k=2, arm='divergence', audit_fraction=0)
    again = choose(make_pool([1.0] * 4, fingerprints=names[::-1]), budget_k=2, arm='divergence', audit_fraction=0)
    assert [names[i] for i in first.chosen] == ['a', 'b']
    assert [names[::-1][i] for i in again.chosen] == ['a', 'b']


def test_the_audit_is_uniform_over_what_the_score_left():
    pool = make_pool(np.arange(8.0))
    counts = np.zeros(8)
    for seed in range(700):
        counts += choose(pool, budget_k=2, arm='divergence', seed=seed).audit
    assert counts[7] == 0
    # 100 expected each, standard deviation 9.3
    assert np.abs(counts[:7] - 100).max() < 42


@settings(max_examples=100, deadline=None)
@given(
    number=st.integers(0, 30),
    budget=st.integers(0, 40),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 1000),
    arm=st.sampled_from(['random', 'divergence']),
)
def test_never_more_than_the_budget_never_ineligible_never_twice(number, budget, fraction, seed, arm):
    rng = np.random.default_rng(seed)
    pool = make_pool(
        rng.integers(0, 3, number).astype(float),
        eligible=rng.random(number) < 0.7,
        fingerprints=[str(x) for x in rng.integers(0, 20, number)],
    )
    choice = choose(pool, budget_k=budget, audit_fraction=fraction, arm=arm, seed=seed)
    distinct = {pool.fingerprints[i] for i in np.flatnonzero(pool.eligible)}
    chosen = choice.selected | choice.audit
    assert chosen.sum() == min(budget, len(distinct)) == len(choice.chosen)
    assert not (choice.selected & choice.audit).any()
    assert not (chosen & ~pool.eligible).any()
    assert len({pool.fingerprints[i] for i in choice.chosen}) == len(choice.chosen)
    again = choose(pool, budget_k=budget, audit_fraction=fraction, arm=arm, seed=seed)
    assert np.array_equal(again.chosen, choice.chosen)


@pytest.mark.parametrize('options', [{'budget_k': -1}, {'budget_k': 1, 'audit_fraction': 1.5}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(InvalidInputError):
        choose(make_pool([1.0]), arm='divergence', **options)


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
