"""Exponents of times, and that every step can be timed."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import scaling


def test_the_exponent_of_a_power_is_found_within_its_interval():
    rng = np.random.default_rng(0)
    times = [
        (size, (0.3 + 1e-4 * size**2.5) * np.exp(rng.normal(0, 0.02)))
        for size in (4, 16, 32, 64, 128)
        for _ in range(3)
    ]
    found = scaling.exponent(times)
    assert found.lower < 2.5 < found.upper and found.power == pytest.approx(2.5, abs=0.1)
    assert found.start == pytest.approx(0.3, rel=0.1) and found.factor == pytest.approx(1e-4, rel=0.5)


@pytest.mark.parametrize('name', ['prediction', 'hull', 'ccsd(t)'])
def test_a_step_is_timed(name):
    rows = scaling.measured(name, scaling.SIZES[name][:1], 2)
    assert [size for size, _ in rows] == [scaling.SIZES[name][0]] * 2
    assert all(seconds > 0 for _, seconds in rows)


def test_cells_have_the_atoms_that_are_asked_for():
    assert [len(scaling.rock_salt(size)) for size in scaling.SIZES['prediction']] == list(scaling.SIZES['prediction'])
