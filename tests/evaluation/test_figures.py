"""Tests for :mod:`aiida_qagenai.evaluation.figures`."""

import math

import numpy as np
import pytest

from aiida_qagenai.evaluation.figures import bootstrap_interval, mean, share


def test_a_share_has_its_counts_and_the_interval_of_a_binomial():
    """60 of 100: the standard error is √(0.6 · 0.4 / 100) = 0.049, the interval 1.96 of it to both sides."""
    figure = share('valid', [True] * 60 + [False] * 40, 'all of it')
    assert (figure.value, figure.numerator, figure.denominator) == (0.6, 60, 100)
    assert figure.interval == pytest.approx((0.6 - 0.096, 0.6 + 0.096), abs=0.012)
    assert figure.to_dict()['interval'] == list(figure.interval)


def test_unknown_values_are_left_out_or_replaced():
    values = [0.1, None, 0.3, None]
    assert mean('rmse', values, '').value == pytest.approx(0.2)
    assert mean('rmse', values, '').denominator == 2
    assert mean('crmse', values, '', missing=0.5).value == pytest.approx(0.35)
    assert mean('crmse', values, '', missing=0.5).denominator == 4


def test_nothing_to_count_is_no_value():
    for figure in (share('a', [], ''), mean('b', [], ''), mean('c', [None, None], '')):
        assert figure.value is None and figure.interval is None
    assert share('one', [True], '').interval is None


def test_the_interval_of_a_mean_is_that_of_a_normal_distribution():
    values = np.random.default_rng(1).normal(2.0, 1.0, 400)
    error = values.std() / math.sqrt(400)
    low, high = bootstrap_interval(values)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.02)


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(1).random(30)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_two_samples_are_drawn_on_their_own():
    def difference(first, second):
        return first.mean() - second.mean()

    first, second = np.array([0.0, 1.0] * 50), np.array([2.0, 3.0] * 50)
    low, high = bootstrap_interval(first, difference, second, vectorized=False)
    error = math.sqrt(0.25 / 100 + 0.25 / 100)
    assert (low, high) == pytest.approx((-2 - 1.96 * error, -2 + 1.96 * error), abs=0.03)


def test_the_interval_of_a_distance_holds_the_distance():
    """Equal samples are 0 apart, and resampling can only move them apart."""
    from scipy.stats import wasserstein_distance

    values = np.random.default_rng(0).normal(size=60)
    plain = bootstrap_interval(values, wasserstein_distance, values, vectorized=False)
    moved = bootstrap_interval(values, wasserstein_distance, values, vectorized=False, distance=True)
    assert plain[0] > 0 and moved[0] == 0
    assert 0 < moved[1] < plain[1]
    low, high = bootstrap_interval(values + 0.5, wasserstein_distance, values, vectorized=False, distance=True)
    assert low < 0.5 < high
