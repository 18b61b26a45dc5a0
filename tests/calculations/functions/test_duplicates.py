"""Which candidates are the same crystal, before and after a relaxation, and which are known."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.functions.duplicates import find_duplicates, find_known
from aiida_qagenai.calculations.functions.known_phases import find_gaps, find_known_phases, gaps_of, installed_tables
from aiida_qagenai.calculations.functions.screen import screen_candidates
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData, Relaxation
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.hull.phases import Phase


def salt(edge: float) -> Structure:
    lattice = Lattice(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * edge / 2)
    return Structure(lattice, ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


def candidates(structures, relaxed):
    """Return candidates, of which those marked in ``relaxed`` are the end of a relaxation."""
    how = {True: Relaxation('a' * 36, 'toy', True, '', 3), False: None}
    return [
        CandidateData(structure, cycle=2, index=index, relaxation=how[moved])
        for index, (structure, moved) in enumerate(zip(structures, relaxed, strict=True))
    ]


def packed(**structures):
    """Return a set of structures by their names."""
    return DatasetData(StructureBatch.from_structures(list(structures.values()), list(structures)))


def test_relaxed_candidates_that_fall_into_one_crystal_are_one(aiida_profile):
    """Slightly different lattice constants: unrelaxed they are strained polymorphs, relaxed the same minimum."""
    structures, nothing = [salt(4.0), salt(4.06), salt(4.0)], packed(other=salt(9.0))
    passed = [True, True, True]
    unrelaxed = candidates(structures, [False, False, False])
    assert find_duplicates(unrelaxed, structures, passed, nothing) == [None, None, '002-00000']
    relaxed = candidates(structures, [True, True, False])
    assert find_duplicates(relaxed, structures, passed, nothing) == [None, '002-00000', '002-00000']


def test_one_that_passes_the_constraints_stands_for_its_crystal(aiida_profile):
    structures = [salt(4.0), salt(4.06)]
    found = find_duplicates(candidates(structures, [True, True]), structures, [False, True], packed(other=salt(9.0)))
    assert found == ['002-00001', None]


def test_relaxed_candidates_are_compared_with_earlier_cycles_but_not_with_the_strained_initial_set(aiida_profile):
    structures = [salt(4.0)]
    nodes = candidates(structures, [True])
    assert find_duplicates(nodes, structures, [True], packed(**{'001-00007': salt(4.05)})) == ['001-00007']
    assert find_duplicates(nodes, structures, [True], packed(**{'000-00007': salt(4.05)})) == [None]
    assert find_duplicates(nodes, structures, [True], packed(**{'000-00007': salt(4.0)})) == ['000-00007']


def test_known_crystals_are_named(aiida_profile):
    known = packed(**{'mp-1': salt(4.05)})
    structures = [salt(4.0), salt(4.0)]
    assert find_known(candidates(structures, [True, False]), structures, known) == ['mp-1', None]
    assert find_known(candidates(structures, [True, False]), structures, None) == [None, None]


def test_known_phases_come_from_the_files_of_the_package(aiida_profile):
    outputs = find_known_phases(orm.List(['Li', 'H']), orm.Dict(installed_tables()))
    assert outputs['gaps'].get_dict() == {'mp-23703': 'LiH'} and len(outputs['phases']) == 5
    assert 'phases' not in find_known_phases(orm.List(['Og']), orm.Dict(installed_tables()))
    with pytest.raises(InvalidInputError, match='is another one'):
        find_known_phases(orm.List(['Li']), orm.Dict({**installed_tables(), 'hull_sha256': '0'}))


def test_gaps_say_whether_the_training_set_fills_them(aiida_profile):
    gaps = find_gaps({'mp-2': 'LiO8', 'mp-1': 'LiH'}, [Phase('Li2H2', -0.5)])
    assert [(gap['formula'], gap['in_training_set']) for gap in gaps] == [('LiH', True), ('LiO8', False)]
    (node,) = candidates([salt(4.0)], [False])
    assert gaps_of(node, gaps) == []
    assert gaps_of(node, [{'identifier': 'mp-1', 'formula': 'LiH', 'in_training_set': False}]) == ['LiH']


def test_what_is_hopeless_is_not_worth_a_relaxation(aiida_profile):
    batch = StructureBatch.from_structures([salt(4.0), salt(2.0)], ['002-00000', '002-00001'])
    found = screen_candidates(DatasetData(batch), orm.Dict({'stage': 'generation'})).get_dict()
    assert list(found) == ['002-00001'] and found['002-00001'].startswith('not relaxed: ')
