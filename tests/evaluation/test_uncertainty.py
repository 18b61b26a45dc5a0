"""Calibration error and coverage of made-up errors whose σ is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.uncertainty import (
    calibration_by_class,
    calibration_error,
    calibration_interval,
    coverage,
    noise_floor,
)


@pytest.fixture
def errors():
    """Return errors with different σ, and these σ."""
    rng = np.random.default_rng(3)
    sigmas = rng.uniform(0.01, 0.2, 2000)
    return rng.normal(0, sigmas), sigmas


def test_a_true_sigma_reaches_the_noise_floor(errors):
    assert calibration_error(*errors) < 2 * noise_floor(2000)
    low, high = calibration_interval(*errors)
    assert low <= noise_floor(2000) <= high


def test_a_sigma_that_is_half_as_large_as_it_should_be(errors):
    """The mean over all probabilities is 0.5 − (2/π) arctan(1/2)."""
    expected = 0.5 - 2 / np.pi * np.arctan(0.5)
    assert calibration_error(errors[0], errors[1] / 2) == pytest.approx(expected, abs=0.015)
    assert calibration_interval(errors[0], errors[1] / 2)[0] > noise_floor(2000)


def test_too_large_a_sigma_is_an_error_as_well(errors):
    assert calibration_error(errors[0], 2 * errors[1]) > 0.1


@pytest.mark.parametrize(('factor', 'expected'), [(1.0, 0.9), (0.5, 0.589), (2.0, 0.999)])
def test_coverage(errors, factor, expected):
    assert coverage(errors[0], factor * errors[1]) == pytest.approx(expected, abs=0.02)


def test_the_noise_floor_falls_with_the_square_root():
    assert noise_floor(100) / noise_floor(400) == pytest.approx(2, rel=0.15)


@given(st.floats(0.01, 100), st.integers(0, 100))
def test_units_do_not_matter(scale, seed):
    rng = np.random.default_rng(seed)
    values, sigmas = rng.normal(size=50), rng.uniform(0.5, 2, 50)
    assert calibration_error(scale * values, scale * sigmas) == pytest.approx(
        calibration_error(values, sigmas), abs=0.02
    )


@pytest.mark.parametrize(('values', 'sigmas'), [([], []), ([0.1], [0.0]), ([0.1, 0.2], [0.1, -1.0])])
def test_what_has_no_error_bar_is_refused(values, sigmas):
    with pytest.raises(InvalidInputError, match='above 0'):
        calibration_error(np.array(values), np.array(sigmas))


def test_each_class_has_its_own_calibration(errors):
    values, sigmas = errors
    classes = ['oxide'] * 1500 + ['halide'] * (len(values) - 1500)
    wrong = np.where(np.arange(len(values)) < 1500, sigmas, sigmas / 2)
    oxide, halide = calibration_by_class(values, wrong, classes)
    assert (oxide.name, oxide.number, halide.name) == ('oxide', 1500, 'halide')
    assert oxide.is_calibrated
    assert not halide.is_calibrated
    assert oxide.mae == pytest.approx(np.abs(values[:1500]).mean())
    assert oxide.coverage == pytest.approx(0.9, abs=0.03)
    assert halide.coverage < 0.7
    assert halide.noise_floor > oxide.noise_floor


def test_given_intervals_decide_the_coverage_of_a_class(errors):
    values, sigmas = errors
    (row,) = calibration_by_class(values, sigmas, ['oxide'] * len(values), np.full(len(values), np.inf))
    assert row.coverage == 1
