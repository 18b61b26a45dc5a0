"""Comparisons that were declared before a run, against published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.comparisons import (
    Declared,
    cohens_d,
    compare_declared,
    glass_delta,
    number_needed,
    power_by_simulation,
    smallest_number_of_runs,
)

# The worked example of the article on Student's t test in Wikipedia: Welch's t is 1.959, p is 0.09077.
FIRST = [30.02, 29.99, 30.11, 29.97, 30.01, 29.99]
SECOND = [29.89, 29.93, 29.72, 29.98, 30.02, 29.98]
# Table of Benjamini and Hochberg (1995), section 4.2: at 0.05 the four smallest are significant.
PUBLISHED = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324]
PUBLISHED += [0.4262, 0.5719, 0.6528, 0.759, 1.0]


def normal(mean: float):
    """Return a draw of normal values of unit variance."""
    return lambda rng, shape: rng.normal(mean, 1.0, shape)


def test_a_published_welch_test():
    (found,) = compare_declared([Declared('first', 'second')], {'first': FIRST, 'second': SECOND})
    assert found.p_value == found.adjusted_p_value == pytest.approx(0.09077, abs=5e-6)
    assert found.difference == pytest.approx(0.095)
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.cohens_d == pytest.approx(1.959 * math.sqrt(2 / 6), abs=1e-3)
    assert not found.is_significant()


def test_p_values_of_all_declared_comparisons_are_adjusted_together(monkeypatch):
    """The published p values, as if fifteen tests had given them."""
    values = iter(PUBLISHED)
    monkeypatch.setattr('scipy.stats.ttest_ind', lambda *_, **__: type('Result', (), {'pvalue': next(values)}))
    declared = [Declared(f'arm{index}', 'control') for index in range(len(PUBLISHED))]
    samples = {'control': FIRST, **{each.arm: SECOND for each in declared}}
    found = compare_declared(declared, samples)
    assert [each.is_significant() for each in found] == [True] * 4 + [False] * 11
    assert [each.adjusted_p_value for each in found] == pytest.approx(false_discovery_control(PUBLISHED))


def test_effect_sizes_by_hand():
    """Means 4 and 2, variances 4 and 1: pooled √2.5."""
    arm, control = [2.0, 4.0, 6.0], [1.0, 2.0, 3.0]
    assert cohens_d(arm, control) == pytest.approx(2 / math.sqrt(2.5))
    assert glass_delta(arm, control) == pytest.approx(2.0)
    assert glass_delta(arm, [2.0, 2.0]) is None
    assert cohens_d([1.0, 1.0], [1.0, 1.0]) is None


def test_samples_without_spread():
    found = compare_declared([Declared('a', 'b'), Declared('a', 'c')], {'a': [1, 1], 'b': [1, 1], 'c': [2, 2]})
    assert [each.p_value for each in found] == [1.0, 0.0]


@pytest.mark.parametrize(
    ('declared', 'samples', 'message'),
    [
        ([], {}, 'one or more'),
        ([Declared('a', 'b')] * 2, {'a': [1, 2], 'b': [1, 2]}, 'each once'),
        ([Declared('a', 'b')], {'a': [1, 2]}, '`b` was declared and has no runs'),
        ([Declared('a', 'b')], {'a': [1, 2], 'b': [1]}, 'two or more finite values'),
        ([Declared('a', 'b')], {'a': [1, 2], 'b': [1, math.nan]}, 'two or more finite values'),
    ],
)
def test_what_was_not_declared_or_not_run_is_refused(declared, samples, message):
    with pytest.raises(InvalidInputError, match=message):
        compare_declared(declared, samples)


def test_published_numbers_needed():
    """Diabetes Control and Complications Trial: 9.6 % against 2.8 % with neuropathy, 15 to treat."""
    found = number_needed(96, 1000, 28, 1000)
    assert math.ceil(found.number) == 15
    assert found.difference == pytest.approx(0.068)


def test_the_interval_of_a_difference_is_that_of_newcombe():
    """R. G. Newcombe (1998), Table II, example (a), 56/70 − 48/80: 0.2, from 0.0524 to 0.3339 by method 10."""
    found = number_needed(56, 70, 48, 80)
    assert found.difference == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_equal_rates_need_infinitely_many():
    found = number_needed(5, 50, 5, 50)
    assert found.number == math.inf
    assert found.interval[0] < 0 < found.interval[1]
    with pytest.raises(InvalidInputError):
        number_needed(5, 0, 1, 2)


@pytest.mark.parametrize(('effect', 'runs'), [(0.5, 64), (0.8, 26)])
def test_published_power(effect, runs):
    """Table 2.4.1 of J. Cohen (1988): 0.80 at the level 0.05, two-sided, with 64 and 26 in each group."""
    found = power_by_simulation(normal(effect), normal(0.0), runs)
    assert found.power == pytest.approx(0.80, abs=0.02)
    assert found.standard_error < 0.01


def test_without_an_effect_the_power_is_the_level():
    """And with several comparisons, that of one of them."""
    assert power_by_simulation(normal(0.0), normal(0.0), 20).power == pytest.approx(0.05, abs=0.012)
    assert power_by_simulation(normal(0.0), normal(0.0), 20, comparisons=5).power < 0.02


def test_the_smallest_number_of_runs():
    """About 26 for an effect of 0.8; none without an effect."""
    assert smallest_number_of_runs(normal(0.8), normal(0.0)) == pytest.approx(26, abs=2)
    assert smallest_number_of_runs(normal(0.0), normal(0.0), most=64, simulations=500) is None


def test_power_from_pilot_runs():
    """Drawn with repetition from what was seen: arms far apart are told apart with five runs."""
    pilot = np.array([10.0, 11.0, 12.0, 13.0])
    found = power_by_simulation(
        lambda rng, shape: rng.choice(pilot + 10, shape), lambda rng, shape: rng.choice(pilot, shape), 5
    )
    assert found.power > 0.99
