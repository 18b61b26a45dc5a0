"""Tests for :mod:`aiida_qagenai.chemistry.radii`."""

import pytest

from aiida_qagenai.chemistry.radii import COVALENT_RADII


def test_every_element_has_a_radius():
    assert list(COVALENT_RADII) == list(range(1, 119))
    assert all(0.3 <= radius <= 2.4 for radius in COVALENT_RADII.values())


@pytest.mark.parametrize(
    ('number', 'radius'),
    [(1, 0.32), (6, 0.75), (8, 0.63), (26, 1.16), (55, 2.32), (72, 1.52), (79, 1.24), (92, 1.70), (118, 1.57)],
)
def test_published_values(number, radius):
    assert COVALENT_RADII[number] == pytest.approx(radius)
