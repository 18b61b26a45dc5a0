"""Tests for :mod:`aiida_qagenai.motifs.symmetry`."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from aiida_qagenai.motifs.symmetry import (
    AsymmetricUnit,
    asymmetric_unit,
    cell_of_parameters,
    expand,
    primitive_volume,
    site_signatures,
    space_group_number,
)
from tests.motifs.conftest import textbook


def unit_of(structure):
    return asymmetric_unit(structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords, 0.01)


def structure_of(crystal):
    return Structure(crystal.cell, crystal.species, crystal.fractional)


@pytest.mark.parametrize('name', list(textbook()))
def test_a_crystal_is_the_same_after_it_is_expanded(name):
    structure = textbook()[name]
    crystal = expand(unit_of(structure))
    assert len(crystal.species) == len(structure.get_primitive_structure())
    distance = StructureMatcher(scale=False).get_rms_dist(structure_of(crystal), structure)
    assert distance is not None and distance[0] < 1e-5


@pytest.mark.parametrize('name', list(textbook()))
def test_operations_map_the_crystal_onto_itself(name):
    unit = unit_of(textbook()[name])
    crystal = expand(unit)
    for rotation, translation in zip(crystal.rotations, crystal.translations, strict=True):
        images = crystal.fractional @ rotation.T + translation
        difference = images[:, None] - crystal.fractional[None]
        nearest = np.linalg.norm((difference - np.round(difference)) @ crystal.cell, axis=-1)
        assert (nearest.min(1) < 1e-6).all()
        assert (crystal.species[nearest.argmin(1)] == crystal.species).all()
    found = spglib.get_symmetry_dataset((crystal.cell, crystal.fractional, crystal.species), symprec=1e-4)
    assert found.number == space_group_number(unit.hall_number)
    assert len(found.rotations) == len(crystal.rotations)


@given(hall=st.integers(1, 530), site=st.tuples(*[st.floats(0.01, 0.99)] * 3))
def test_every_setting_expands_to_its_space_group(hall, site):
    """A general position in any of the 530 settings: as many atoms as operations, all of them distinct."""
    parameters = np.array({
        'triclinic': [8, 9, 10, 82, 97, 105], 'hexagonal': [9, 9, 11, 90, 90, 120],
        'rhombohedral': [9, 9, 9, 75, 75, 75], 'orthogonal': [9.0, 9.0, 9.0, 90, 90, 90],
    }[system_of(hall)], dtype=float)  # fmt: skip
    crystal = expand(AsymmetricUnit(hall, parameters, np.array([14]), np.array([site])))
    assert len(crystal.rotations) % len(crystal.species) == 0
    assert abs(np.linalg.det(crystal.cell)) == pytest.approx(primitive_volume(hall, parameters))
    images = np.einsum('kij,j->ki', crystal.rotations, crystal.fractional[0]) + crystal.translations
    difference = images[:, None] - crystal.fractional[None]
    distances = np.linalg.norm((difference - np.round(difference)) @ crystal.cell, axis=-1)
    assert distances.min(1).max() < 1e-6 and distances.min(0).max() < 1e-6


def system_of(hall):
    kind = spglib.get_spacegroup_type(hall)
    if kind.number < 16:
        return 'triclinic' if kind.number < 3 else 'orthogonal'
    if kind.international_short.startswith('R') and kind.choice == 'R':
        return 'rhombohedral'
    return 'hexagonal' if 143 <= kind.number < 195 else 'orthogonal'


def test_sites_near_a_special_position_are_moved_onto_it():
    unit = AsymmetricUnit(523, np.array([5.64, 5.64, 5.64, 90, 90, 90]), np.array([11, 17]), np.array(
        [[0.0005, 0, 0.0004], [0.5, 0.4996, 0.5]]))  # fmt: skip
    crystal = expand(unit)
    assert len(crystal.species) == 2
    separation = crystal.fractional[1] - crystal.fractional[0]
    assert np.allclose(np.abs(separation - np.round(separation)), 0.5, atol=1e-9)


def test_signatures_tell_atoms_free_coordinates_and_neighbours():
    rutile = unit_of(textbook()['TiO2'])
    by_element = dict(zip(rutile.species.tolist(), site_signatures(rutile).tolist(), strict=True))
    perovskite = unit_of(textbook()['CaTiO3'])
    assert sorted(site_signatures(perovskite).tolist()) == [[1, 0, 6], [1, 0, 12], [3, 0, 2]]
    assert by_element == {22: [2, 0, 6], 8: [4, 1, 3]}


def test_cells_agree_with_pymatgen():
    parameters = np.array([4.0, 5.0, 6.0, 80.0, 95.0, 110.0])
    assert np.linalg.det(cell_of_parameters(parameters)) == pytest.approx(Lattice.from_parameters(*parameters).volume)


def test_a_cell_without_symmetry_gives_nothing():
    assert asymmetric_unit(np.eye(3) * 1e-6, np.array([1, 1]), np.zeros((2, 3)), 0.01) is None
