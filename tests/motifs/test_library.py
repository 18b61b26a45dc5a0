"""Tests for :mod:`aiida_qagenai.motifs.library`."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.structures import save_arrays
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
from tests.motifs.conftest import textbook


def test_it_is_the_same_after_saving(library, tmp_path):
    library.save(tmp_path / 'first.npz')
    again = MotifLibrary.load(tmp_path / 'first.npz')
    again.save(tmp_path / 'second.npz')
    assert (tmp_path / 'first.npz').read_bytes() == (tmp_path / 'second.npz').read_bytes()
    assert again.formulas.tolist() == [crystal.composition.reduced_formula for crystal in textbook().values()]
    assert np.allclose(again.crystal(5).fractional, library.crystal(5).fractional, atol=0)


def test_coordinates_are_stored_finely_enough(library):
    """A coordinate is off by half of a grid step at most: 1e-4 Å in these cells."""
    for index, structure in enumerate(textbook().values()):
        crystal = library.crystal(index)
        found = Structure(crystal.cell, crystal.species, crystal.fractional)
        assert found.volume / len(found) == pytest.approx(structure.volume / len(structure), rel=1e-5)
        shortest = [np.sort(each.distance_matrix[np.triu_indices(len(each), 1)])[0] for each in (found, structure)]
        assert shortest[0] == pytest.approx(shortest[1], abs=2e-4)


def test_compositions_and_volumes_are_those_of_the_primitive_cell(library):
    names = list(textbook())
    assert library.compositions[names.index('NaCl')] == {11: 1, 17: 1}
    assert library.compositions[names.index('TiO2')] == {22: 2, 8: 4}
    assert library.compositions[names.index('LiTiO2')] == {3: 1, 22: 1, 8: 2}
    assert library.volumes_per_atom[names.index('NaCl')] == pytest.approx(5.64**3 / 8)


def test_families_hold_all_motifs_of_an_anonymous_formula(library):
    family = library.families[1, 1]
    assert library.formulas[family.motifs].tolist() == ['NaCl', 'KBr', 'CsCl', 'ZnS', 'ZnO']
    assert family.formula_units.tolist() == [1, 1, 1, 1, 2]
    assert family.space_groups.tolist() == [225, 225, 221, 216, 186]
    assert len({tuple(roles) for roles in family.roles.tolist()}) == 4  # only the two of rock salt are alike


def test_crystals_can_be_taken_out_and_added(library):
    less = library.without(['NaCl', 'TiO2'])
    assert len(less) == len(library) - 2 and 'NaCl' not in less.formulas
    assert less.formulas[3] == 'ZnO' and np.allclose(less.crystal(3).cell, library.crystal(4).cell)
    assert (less + library).formulas.tolist() == [*less.formulas, *library.formulas]


def test_duplicate_atoms_leave_no_library():
    broken = Structure(Lattice.cubic(1e-6), ['H', 'H'], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(InvalidInputError, match='no crystal for a motif library'):
        MotifLibrary.from_crystals([KnownCrystal('broken', broken)])


def test_another_file_is_refused(tmp_path):
    save_arrays(tmp_path / 'other.npz', {'cells': np.zeros(3), 'format_version': np.array(1)})
    with pytest.raises(CorruptFileError, match='lacks identifiers'):
        MotifLibrary.load(tmp_path / 'other.npz')
