"""How crystals relate to those of a library."""

import numpy as np
import pytest
from pymatgen.core import Structure

from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.relations import LibraryRelations


@pytest.fixture(scope='module')
def relations():
    return LibraryRelations(MotifLibrary.default())


def crystal(formula):
    library = MotifLibrary.default()
    found = library.crystal(int(np.flatnonzero(library.formulas == formula)[0]))
    return Structure(found.cell, found.species, found.fractional)


def test_a_known_crystal_is_a_replay_and_with_other_elements_a_substitution(relations):
    salt = crystal('NaCl')
    assert relations.classify(salt) == 'replay'
    salt.replace_species({'Na': 'Xe', 'Cl': 'Ne'})
    assert relations.classify(salt) == 'substitution'
    assert relations.classify(salt, 'mp-22862') == 'substitution'


def test_a_disordered_arrangement_is_a_novel_framework(relations):
    spinel = crystal('MgAl2O4')
    shaken = Structure(spinel.lattice, spinel.species, np.random.default_rng(0).random((len(spinel), 3)))
    assert relations.classify(shaken) == 'novel framework'


def test_a_flat_cell_has_no_relation(relations):
    assert relations.classify(Structure([[3, 0, 0], [0, 3, 0], [3, 3, 0]], ['Na'], [[0, 0, 0]])) is None
