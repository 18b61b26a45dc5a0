"""Anything that is a crystal, as objects of pymatgen and ASE."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.orm import StructureData
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from pymatgen.core import IStructure, Lattice, Molecule, Species, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.structure import as_magnetic_node, as_node, as_nodes
from aiida_qagenai.exchange.crystals import as_atoms, as_structure, as_structures, named_crystals


@pytest.fixture
def rock_salt() -> Structure:
    """Return the cubic cell of MgO."""
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.21), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])


def kinds(structure: Structure, folder) -> dict[str, object]:
    """Return one crystal as every kind that is accepted."""
    structure.to(filename=str(folder / 'MgO.cif'))
    structure.to(filename=str(folder / 'POSCAR'), fmt='poscar')
    from ase.io import write

    atoms = Atoms(structure.atomic_numbers, structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    write(folder / 'MgO.extxyz', atoms)
    return {
        'pymatgen': structure,
        'immutable': IStructure.from_sites(list(structure)),
        'entry': ComputedStructureEntry(structure, -10.0),
        'ase': atoms,
        'aiida': StructureData(pymatgen=structure),
        'candidate': CandidateData(structure, cycle=1, index=2),
        'cif': folder / 'MgO.cif',
        'poscar': str(folder / 'POSCAR'),
        'extxyz': folder / 'MgO.extxyz',
    }


def test_every_kind_is_the_same_crystal(rock_salt, tmp_path, aiida_profile):
    given = kinds(rock_salt, tmp_path)
    for name, source in given.items():
        found = as_structure(source)
        assert found.composition == rock_salt.composition, name
        assert np.allclose(found.lattice.abc, rock_salt.lattice.abc), name
        assert sorted(found.symbol_set) == ['Mg', 'O'] and 'kind_name' not in found.site_properties, name
        assert np.allclose(found.distance_matrix[0].max(), rock_salt.distance_matrix[0].max()), name
    assert len(as_structures([*given.values()])) == len(given)


def test_one_object_is_a_list_of_one_and_a_file_counts_with_all_it_holds(rock_salt, tmp_path):
    from ase.io import write

    write(tmp_path / 'two.extxyz', [bulk('Cu'), bulk('MgO', 'rocksalt', a=4.2)])
    assert len(as_structures(rock_salt)) == 1
    assert [each.structure.composition.reduced_formula for each in named_crystals(tmp_path / 'two.extxyz')] == [
        'Cu',
        'MgO',
    ]
    assert as_structures([]) == []
    with pytest.raises(InvalidInputError, match=r'two.extxyz` holds 2 structures, expected exactly one'):
        as_structure(tmp_path / 'two.extxyz')


@pytest.mark.parametrize('moments', [[3.0, -3.0], [1.0, 0.0]])
def test_magnetic_moments_are_carried_in_and_out(moments, aiida_profile):
    atoms = bulk('FeO', 'rocksalt', a=4.3)
    atoms.set_initial_magnetic_moments(moments)
    structure = as_structure(atoms)
    assert structure.site_properties['magmom'] == moments
    assert as_atoms(structure).get_initial_magnetic_moments().tolist() == moments
    node, start = as_magnetic_node(atoms)
    assert start == moments and as_structure(node).site_properties['magmom'] == moments
    # a node was given its moments by somebody else: what decides an energy is an input
    assert as_magnetic_node(node) == (node, None)
    assert as_magnetic_node(atoms, {'Fe': 4.0})[1] == {'Fe': 4.0}


def test_spins_and_oxidation_states_of_species_become_moments_and_elements():
    species = [Species('Mn', 2, spin=5), Species('O', -2)]
    given = Structure(Lattice.cubic(4.4), species, [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = as_structure(given)
    assert [site.specie.symbol for site in found] == ['Mn', 'O'] and found.site_properties['magmom'] == [5.0, 0.0]
    assert 'magmom' not in given.site_properties and given[0].specie.oxi_state == 2


def test_atoms_of_ase_come_back_without_constraints_and_where_they_were():
    atoms = bulk('NaCl', 'rocksalt', a=5.6)
    atoms.positions += [0.1, 0.2, 7.0]
    atoms.set_constraint(FixAtoms([0]))
    back = as_atoms(atoms)
    assert back.constraints == [] and back.pbc.all()
    assert np.allclose(back.positions, atoms.positions) and np.allclose(back.cell.array, atoms.cell.array)


@pytest.mark.parametrize(
    ('source', 'text'),
    [
        (molecule('H2O'), r'structure 0 \(Atoms H2O\) is not periodic in three directions'),
        (Molecule(['H', 'H'], [[0, 0, 0], [0, 0, 0.7]]), r'Molecule H2\) is a molecule'),
        (Atoms('Cu', pbc=True), 'has a cell of zero volume'),
        (Atoms('Cu', cell=np.diag([3.0, 3.0, np.nan]), pbc=True), 'has a lattice that is not finite'),
        (Atoms('Cu', positions=[[np.inf, 0, 0]], cell=np.eye(3) * 3, pbc=True), 'coordinates that are not finite'),
        (Atoms('X', cell=np.eye(3) * 3, pbc=True), 'unknown element'),
        (Atoms('Cu', cell=np.eye(3) * 3, pbc=True, magmoms=[[0, 0, 1]]), 'moments that are vectors'),
        (Structure(Lattice.cubic(4), [{'Fe': 0.5, 'Ni': 0.5}], [[0, 0, 0]]), 'has partial occupancies: order it first'),
        (42, 'is not a structure: give a Structure of pymatgen'),
        ([bulk('Cu'), 'missing.cif'], '`missing.cif` is not a file'),
        ([bulk('Cu'), None], r'structure 1 \(NoneType\) is not a structure'),
    ],
)
def test_what_is_no_crystal_is_refused_with_the_reason(source, text):
    with pytest.raises(InvalidInputError, match=text):
        as_structures(source)


def test_partial_occupancies_pass_where_they_are_asked_for():
    disordered = Structure(Lattice.cubic(4), [{'Fe': 0.5, 'Ni': 0.5}], [[0, 0, 0]])
    assert not as_structure(disordered, ordered=False).is_ordered


def test_nodes_keep_their_identity_and_molecules_are_nodes_without_periodicity(rock_salt, aiida_profile):
    node = StructureData(pymatgen=rock_salt)
    assert as_node(node) is node
    assert as_node(rock_salt).label == 'MgO' and not as_node(rock_salt).is_stored
    water = as_node(molecule('H2O'))
    assert water.pbc == (False, False, False) and water.get_formula() == 'H2O'
    assert as_node(Molecule(['H', 'H'], [[0, 0, 0], [0, 0, 0.7]])).pbc == (False, False, False)
    with pytest.raises(InvalidInputError, match='`bad`: int is not a structure'):
        as_nodes({'good': rock_salt, 'bad': 1})
