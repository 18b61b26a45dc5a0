"""Shells of neighbours, and which sites of a crystal are the same."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.neighbourhood import distinct_sites, surrounding_sites


@pytest.mark.parametrize(
    ('group', 'symbols', 'fractions', 'counts'),
    [
        ('Fm-3m', ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]], [6, 18, 26]),
        ('Fd-3m', ['C'], [[0, 0, 0]], [4, 16, 28]),
        ('Im-3m', ['Li'], [[0, 0, 0]], [8, 14, 26]),
    ],
)
def test_shells_of_cubic_crystals(group, symbols, fractions, counts):
    """Coordination numbers of rock salt, diamond and the body-centred cubic lattice."""
    crystal = Structure.from_spacegroup(group, Lattice.cubic(4.0), symbols, fractions).get_primitive_structure()
    sites = [(site.specie.symbol, site.coords) for site in crystal]
    for index in range(len(crystal)):
        for num_shells, count in enumerate(counts, start=1):
            assert len(surrounding_sites(crystal.lattice.matrix, sites, index, num_shells)) == count


def test_positions_are_relative_and_independent_of_the_cell():
    """The six H around Li of rock salt, from the primitive and from the cubic cell."""
    cubic = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.0), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    sites = [(site.specie.symbol, site.coords) for site in cubic]
    around = surrounding_sites(cubic.lattice.matrix, sites, 1, 1)
    assert {symbol for symbol, _ in around} == {'H'}
    assert sorted(around) == sorted(('H', list(map(float, v))) for v in 2 * np.vstack([np.eye(3), -np.eye(3)]))


def test_distinct_sites():
    """The two O of a distorted cell differ, those of the fluorite structure do not."""
    fluorite = Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.0), ['Mg', 'O'], [[0, 0, 0], [0.25, 0.25, 0.25]])
    assert distinct_sites(fluorite.get_primitive_structure()) == [(0, 1), (1, 2)]
    distorted = Structure(Lattice.cubic(4.0), ['Mg', 'O', 'O'], [[0, 0, 0], [0.5, 0.1, 0], [0.2, 0.6, 0.5]])
    assert distinct_sites(distorted) == [(0, 1), (1, 1), (2, 1)]
