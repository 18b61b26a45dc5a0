"""Limits from two points, on data that follow the law exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.references.extrapolation import (
    Limit,
    basis_set_correction,
    combine_errors,
    correlation_limit,
    hartree_fock_limit,
    mesh_limit,
    separable_limit,
)

LAWS = {
    correlation_limit: lambda x: x**-3.0,
    hartree_fock_limit: lambda x: (x + 1) * math.exp(-9 * math.sqrt(x)),
    mesh_limit: lambda n: 1 / n,
}


@pytest.mark.parametrize('extrapolate', LAWS)
@given(
    limit=st.floats(-100, 0),
    amplitude=st.floats(-10, 10),
    first=st.integers(2, 5),
    step=st.integers(1, 3),
)
def test_exact_data_give_the_exact_limit(extrapolate, limit, amplitude, first, step):
    """Whatever the amplitude, and the error is half of what the better point lacks."""
    points = [first, first + step]
    energies = [limit + amplitude * LAWS[extrapolate](x) for x in points]
    found = extrapolate(energies, points)
    assert found.value == pytest.approx(limit, abs=1e-9)
    assert found.error == pytest.approx(abs(amplitude * LAWS[extrapolate](points[1])) / 2, abs=1e-9)


@pytest.mark.parametrize('extrapolate', LAWS)
def test_one_point_is_no_extrapolation(extrapolate):
    """The value stays, and no error is made up."""
    assert extrapolate([-1.5], [3]) == Limit(-1.5, 0.0)


@pytest.mark.parametrize(
    ('energies', 'numbers'), [([-1.0, -1.1], [3, 3]), ([-1.0, -1.1], [4, 3]), ([-1.0], [2, 3]), ([], []), ([-1.0], [0])]
)
def test_points_that_give_no_limit(energies, numbers):
    """Twice the same point, or in the wrong order."""
    for extrapolate in LAWS:
        with pytest.raises(InvalidInputError, match=r'must increase|one or two'):
            extrapolate(energies, numbers)


def test_limit_in_both():
    """Independent contributions of basis and mesh, A/X³ + B/N, are recovered from three points."""

    def energy(cardinal: int, num_kpoints: int) -> float:
        return -2.0 + 0.7 / cardinal**3 - 0.4 / num_kpoints

    mesh = mesh_limit([energy(2, 8), energy(2, 27)], [8, 27])
    basis = correlation_limit([energy(2, 8), energy(3, 8)], [2, 3])
    found = separable_limit(mesh, basis, energy(2, 8))
    assert found.value == pytest.approx(-2.0) and found.error == pytest.approx(math.hypot(mesh.error, basis.error))


def test_basis_set_correction():
    """What MP2 lacks at the smaller basis."""
    energies = [-1.0 + 0.5 / 8, -1.0 + 0.5 / 27]
    assert basis_set_correction(energies, [2, 3]).value == pytest.approx(-0.5 / 8)
    assert combine_errors(3.0, 4.0) == 5.0
