"""Tests for :mod:`aiida_qagenai.thermodynamics.hull.convex_hull`."""

import typing

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import Stability, stability_class


@pytest.mark.parametrize(
    ('distance', 'expected'),
    [
        (0.0, 'stable'),
        (1e-6, 'stable'),
        (1.1e-6, 'metastable'),
        (0.050, 'metastable'),
        (1.05 - 1.0, 'metastable'),  # 0.050000000000000044
        (0.0500001, 'marginally_metastable'),
        (0.100, 'marginally_metastable'),
        (0.1000001, 'unstable'),
        (None, 'unknown'),
    ],
)
def test_boundaries(distance, expected):
    assert stability_class(distance) == expected
    assert expected in typing.get_args(Stability)


def test_the_tolerance_is_a_parameter():
    assert stability_class(0.001, tolerance=0.001) == 'stable'


@pytest.mark.parametrize('distance', [-0.01, float('nan'), float('inf')])
def test_impossible_distances_are_refused(distance):
    with pytest.raises(InvalidInputError):
        stability_class(distance)
