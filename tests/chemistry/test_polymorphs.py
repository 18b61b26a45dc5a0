"""Tests for :mod:`aiida_qagenai.chemistry.polymorphs`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymorphs import FAMILIES, crystal, disguised, perovskite
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.duplicates import KnownStructures, find_duplicates
from aiida_qagenai.chemistry.polymorphs import distortion_symmetry
from aiida_qagenai.chemistry.symmetry import fingerprint

PHASES = [
    pytest.param(name, index, id=f'{name}-{index}') for name, found in FAMILIES.items() for index in range(len(found))
]


@pytest.mark.parametrize('name', FAMILIES)
def test_the_phases_of_a_family_are_distinct(name):
    assert len(find_duplicates(FAMILIES[name])) == len(FAMILIES[name])


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


def tilted(angle):
    """Return SrTiO3 whose octahedra are turned by an angle (degrees) about c, at the lattice of the cubic phase."""
    shift = 0.25 * (1 - np.tan(np.radians(angle)))
    return crystal(
        'I4/mcm',
        Lattice.tetragonal(3.905 * np.sqrt(2), 2 * 3.905),
        [('Sr', (0, 0.5, 0.25)), ('Ti', (0, 0, 0)), ('O', (0, 0, 0.25)), ('O', (shift, 0.5 + shift, 0))],
    )


def test_fingerprints_tell_tilts_apart_that_hardly_change_a_distance():
    cubic = perovskite('Sr', 'Ti', 3.905)
    assert fingerprint(tilted(1.6)) != fingerprint(cubic)
    assert fingerprint(tilted(0)) == fingerprint(cubic)
    assert fingerprint(tilted(1.6)) == fingerprint(tilted(1.6).make_supercell([1, 1, 2], in_place=False))
