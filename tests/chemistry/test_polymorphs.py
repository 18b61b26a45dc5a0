"""Tests for :mod:`aiida_qagenai.chemistry.polymorphs`, on measured phases typed in anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.duplicates import KnownStructures, find_duplicates
from aiida_qagenai.chemistry.polymorphs import distortion_symmetry


def crystal(group, lattice, sites):
    return Structure.from_spacegroup(group, lattice, [name for name, _ in sites], [place for _, place in sites])


def perovskite(a, b, edge):
    return crystal('Pm-3m', Lattice.cubic(edge), [(a, (0, 0, 0)), (b, (0.5, 0.5, 0.5)), ('O', (0.5, 0.5, 0))])


def tetragonal(a, b, edges, shifts):
    sites = [(a, (0, 0, 0)), (b, (0.5, 0.5, shifts[0])), ('O', (0.5, 0.5, shifts[1])), ('O', (0.5, 0, shifts[2]))]
    return crystal('P4mm', Lattice.tetragonal(*edges), sites)


def orthorhombic(a, b, edges, shifts):
    sites = [(a, (0, 0, 0)), (b, (0.5, 0, shifts[0])), ('O', (0, 0, shifts[1])), ('O', (0.5, shifts[2], shifts[3]))]
    return crystal('Amm2', Lattice.orthorhombic(*edges), sites)


def rhombohedral(a, b, edge, angle, shifts):
    titanium, first, second = shifts
    oxygens = [(first, first, second), (first, second, first), (second, first, first)]
    return Structure(Lattice.rhombohedral(edge, angle), [a, b, 'O', 'O', 'O'], [(0, 0, 0), (titanium,) * 3, *oxygens])


FAMILIES = {
    'BaTiO3': [
        perovskite('Ba', 'Ti', 4.0),
        tetragonal('Ba', 'Ti', (3.994, 4.034), (0.522, 0.974, 0.486)),
        orthorhombic('Ba', 'Ti', (3.984, 5.674, 5.692), (0.517, 0.490, 0.253, 0.237)),
        rhombohedral('Ba', 'Ti', 4.001, 89.85, (0.487, 0.511, 0.018)),
    ],
    'KNbO3': [
        perovskite('K', 'Nb', 4.022),
        tetragonal('K', 'Nb', (3.997, 4.063), (0.523, 0.976, 0.488)),
        orthorhombic('K', 'Nb', (3.973, 5.695, 5.721), (0.513, 0.510 - 0.03, 0.253, 0.232)),
    ],
    'PbTiO3': [perovskite('Pb', 'Ti', 3.97), tetragonal('Pb', 'Ti', (3.904, 4.152), (0.538, 0.112, 0.617))],
    'SrTiO3': [
        perovskite('Sr', 'Ti', 3.905),
        crystal(
            'I4/mcm',
            Lattice.tetragonal(5.51, 7.8),
            [('Sr', (0, 0.5, 0.25)), ('Ti', (0, 0, 0)), ('O', (0, 0, 0.25)), ('O', (0.24, 0.74, 0))],
        ),
    ],
    'LaAlO3': [
        perovskite('La', 'Al', 3.79),
        crystal(
            'R-3c',
            Lattice.hexagonal(5.365, 13.11),
            [('La', (0, 0, 0.25)), ('Al', (0, 0, 0)), ('O', (0.525, 0, 0.25))],
        ),
    ],
    'SiO2': [
        crystal('P6_222', Lattice.hexagonal(4.997, 5.455), [('Si', (0.5, 0, 0)), ('O', (0.2086, 0.4172, 1 / 2))]),
        crystal(
            'P3_121', Lattice.hexagonal(4.913, 5.405), [('Si', (0.4697, 0, 1 / 3)), ('O', (0.4135, 0.2669, 0.4524))]
        ),
    ],
    'GeTe': [
        crystal('Fm-3m', Lattice.cubic(6.0), [('Ge', (0, 0, 0)), ('Te', (0.5, 0.5, 0.5))]),
        crystal('R3m', Lattice.hexagonal(4.164, 10.69), [('Ge', (0, 0, 0.237)), ('Te', (0, 0, 0.763))]),
    ],
    'ZrO2': [
        crystal('Fm-3m', Lattice.cubic(5.09), [('Zr', (0, 0, 0)), ('O', (0.25, 0.25, 0.25))]),
        crystal('P4_2/nmc', Lattice.tetragonal(3.596, 5.184), [('Zr', (0.75, 0.25, 0.75)), ('O', (0.25, 0.25, 0.45))]),
        crystal(
            'P2_1/c',
            Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
            [('Zr', (0.275, 0.04, 0.208)), ('O', (0.07, 0.332, 0.345)), ('O', (0.45, 0.757, 0.479))],
        ),
    ],
    'ZnS': [
        crystal('F-43m', Lattice.cubic(5.41), [('Zn', (0, 0, 0)), ('S', (0.25, 0.25, 0.25))]),
        crystal('P6_3mc', Lattice.hexagonal(3.82, 6.26), [('Zn', (1 / 3, 2 / 3, 0)), ('S', (1 / 3, 2 / 3, 0.375))]),
    ],
    'SiC': [
        crystal('F-43m', Lattice.cubic(4.36), [('Si', (0, 0, 0)), ('C', (0.25, 0.25, 0.25))]),
        crystal(
            'P6_3mc',
            Lattice.hexagonal(3.08, 15.12),
            [
                *(('Si', place) for place in ((0, 0, 0), (1 / 3, 2 / 3, 1 / 6), (2 / 3, 1 / 3, 1 / 3))),
                *(('C', place) for place in ((0, 0, 0.125), (1 / 3, 2 / 3, 7 / 24), (2 / 3, 1 / 3, 11 / 24))),
            ],
        ),
    ],
}
PHASES = [
    pytest.param(name, index, id=f'{name}-{index}') for name, found in FAMILIES.items() for index in range(len(found))
]


@pytest.mark.parametrize('name', FAMILIES)
def test_the_phases_of_a_family_are_distinct(name):
    assert len(find_duplicates(FAMILIES[name])) == len(FAMILIES[name])


def disguised(structure, seed, noise, scale):
    """Return another cell of the crystal at another origin, strained evenly, with noise on the atoms."""
    rng = np.random.default_rng(seed)
    cells = [
        np.eye(3),
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, -1, 0], [1, 1, 0], [0, 0, 1]],
    ]
    other = structure.make_supercell(cells[seed % 4], in_place=False)
    vectors = rng.normal(size=(len(other), 3))
    vectors *= noise / np.linalg.norm(vectors, axis=1)[:, None]
    places = other.cart_coords + vectors + rng.random(3)
    other = Structure(other.lattice, other.species, places, coords_are_cartesian=True)
    other.scale_lattice(other.volume * scale)
    return other


@pytest.mark.parametrize(('name', 'index'), PHASES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0, 0.01), scale=st.floats(0.96, 1.04))
def test_a_disguised_copy_finds_its_own_phase(name, index, seed, noise, scale):
    known = KnownStructures(FAMILIES[name])
    assert known.find(disguised(FAMILIES[name][index], seed, noise, scale)) == index


@pytest.mark.parametrize('stretch', [0.99, 1.01])
def test_a_small_strain_alone_makes_no_other_phase(stretch):
    cubic = perovskite('Sr', 'Ti', 3.905)
    strained = Structure(Lattice.tetragonal(3.905, 3.905 * stretch), cubic.species, cubic.frac_coords)
    assert distortion_symmetry(strained) == distortion_symmetry(cubic)


def test_mirror_images_are_one_phase():
    left = FAMILIES['SiO2'][1]
    right = Structure(left.lattice.matrix * np.array([1, 1, -1]), left.species, left.frac_coords)
    assert distortion_symmetry(right) == distortion_symmetry(left)
    assert len(find_duplicates([left, right])) == 1


def test_odd_structures_have_no_symmetry():
    flat = Structure(np.diag([4.0, 4.0, 0.0]), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0]])
    assert distortion_symmetry(flat) == (0, 0, False)
