"""Tests for :mod:`aiida_qagenai.chemistry.symmetry` and :mod:`aiida_qagenai.chemistry.geometry`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from aiida_qagenai.chemistry.geometry import neighbors, validate_structure
from aiida_qagenai.chemistry.symmetry import fingerprint, fingerprint_vector, space_group, symmetrised
from aiida_qagenai.common.errors import InvalidInputError


def rock_salt(constant=4.08, elements=('Li', 'H')):
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(constant), elements, [[0, 0, 0], [0.5, 0.5, 0.5]])


def low_symmetry(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(3.5, 6, 3), *rng.uniform(70, 110, 3))
    return Structure(lattice, ['Li', 'Li', 'O', 'Ti'], rng.random((4, 3)))


def test_tolerance_ladder_finds_the_symmetry_of_a_noisy_cell():
    structure = rock_salt()
    structure.perturb(0.02)
    found = space_group(structure)
    assert (found.number, found.symbol, found.tolerance) == (225, 'Fm-3m', 0.1)
    assert space_group(structure, tolerances=(1e-4,)).number == 1


@pytest.mark.parametrize(
    'structure',
    [
        Structure(np.diag([4.0, 4.0, 0.0]), ['Li'], [[0, 0, 0]]),
        Structure(Lattice.cubic(4), ['Li'], [[0, 0, np.nan]]),
        Structure(Lattice.cubic(4), [{'Li': 0.5, 'Na': 0.5}], [[0, 0, 0]]),
        Structure(np.diag([40.0, 40.0, 0.01]), ['Li'], [[0, 0, 0]]),
    ],
    ids=['flat', 'nan', 'disordered', 'thin'],
)
def test_odd_cells_give_a_failure_and_no_exception(structure):
    found = space_group(structure)
    assert found.number is None
    assert found.failure
    assert fingerprint(structure).startswith('invalid-')
    with pytest.raises(InvalidInputError):
        validate_structure(structure)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_fingerprint_does_not_depend_on_the_description(seed):
    structure = low_symmetry(seed)
    rng = np.random.default_rng(seed + 1)
    order = rng.permutation(len(structure))
    rotation = Rotation.random(rng=rng).as_matrix()
    other = Structure(
        structure.lattice.matrix @ rotation.T,
        [structure[int(i)].specie for i in order],
        structure.frac_coords[order] + rng.random(3),
    ).make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    assert np.allclose(fingerprint_vector(other), fingerprint_vector(structure), atol=1e-6)
    assert fingerprint(other) == fingerprint(structure)


def test_fingerprint_tells_structures_apart():
    cesium_chloride = Structure(Lattice.cubic(2.5), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    prints = [
        rock_salt(),
        rock_salt(4.3),
        rock_salt(4.08, ('H', 'Li')),
        rock_salt(4.08, ('Na', 'H')),
        cesium_chloride,
    ]
    keys = [fingerprint(structure) for structure in prints]
    assert keys[0] == keys[2]
    assert len(set(keys)) == 4


def test_zinc_blende_and_wurtzite_differ():
    blende = Structure.from_spacegroup('F-43m', Lattice.cubic(5.41), ['Zn', 'S'], [[0, 0, 0], [0.25, 0.25, 0.25]])
    bond = 5.41 * 3**0.5 / 4
    edge = bond * (8 / 3) ** 0.5
    wurtzite = Structure.from_spacegroup(
        'P6_3mc',
        Lattice.hexagonal(edge, edge * (8 / 3) ** 0.5),
        ['Zn', 'S'],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]],
    )
    assert fingerprint(blende) != fingerprint(wurtzite)


def test_neighbors_include_self_images():
    structure = Structure(Lattice.cubic(3.0), ['Li'], [[0.2, 0.4, 0.9]])
    first, second, image, distance = neighbors(structure, 3.1)
    assert len(distance) == 6
    assert np.allclose(distance, 3.0)
    assert (first == 0).all()
    assert (second == 0).all()
    assert np.abs(image).sum() == 6


def test_a_shaken_crystal_gets_its_symmetry_back():
    """Rock salt in its primitive cell, with distances that are all the same."""
    crystal = rock_salt()
    crystal.perturb(0.01)
    found = symmetrised(crystal)
    assert len(found) == 2 and space_group(found, [1e-5]).number == 225
    assert found.volume / len(found) == pytest.approx(crystal.volume / len(crystal), rel=1e-2)
    assert symmetrised(found).matches(crystal)


def test_a_broken_crystal_stays_as_it_is():
    broken = Structure(np.zeros((3, 3)), ['Li'], [[0, 0, 0]])
    assert symmetrised(broken) is broken
