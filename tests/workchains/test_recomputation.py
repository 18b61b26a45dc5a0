"""Which crystals DFT computes at the end of a search."""

from __future__ import annotations

import pytest
from aiida.orm import StructureData
from ase.build import bulk

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.protocols.recomputation import RecomputationSettings
from aiida_qagenai.workchains.recomputation import Recomputation, affordable, recomputation


@pytest.fixture
def crystals(aiida_profile_clean):
    """Return crystals of eight, one and two atoms."""
    made = {'large': bulk('C', cubic=True), 'first': bulk('Li'), 'second': bulk('LiH', 'rocksalt', a=4.0)}
    return {label: StructureData(ase=atoms) for label, atoms in made.items()}


def test_the_best_of_the_small_ones_are_computed(crystals):
    settings = RecomputationSettings(max_crystals=1, max_atoms=4)
    assert list(affordable(crystals, settings)) == ['first']
    assert list(affordable(crystals, RecomputationSettings(max_atoms=4))) == ['first', 'second']


def test_what_formation_energies_refer_to_is_computed_once(crystals, pyscf_code):
    """Of the elements that are there, unless each crystal has atoms of its own."""
    chosen = affordable(crystals, RecomputationSettings(max_atoms=4))
    plain = Recomputation(pyscf_code, overrides={'counterpoise': None}).inputs(['Li', 'H', 'C'])
    builder = recomputation(plain, chosen, RecomputationSettings(level='SCAN'))
    assert builder.plan.get_dict() == {'first': ['SCAN'], 'second': ['SCAN']}
    assert builder.reference_elements.get_list() == ['H', 'Li'] and builder.isolated_atoms.value
    corrected = Recomputation(pyscf_code, overrides={'counterpoise': {'shells': 1}}).inputs(['Li', 'H'])
    assert 'reference_elements' not in recomputation(corrected, chosen, RecomputationSettings())


def test_a_wrong_protocol_is_refused_before_anything_runs(pyscf_code):
    with pytest.raises(InvalidInputError, match='unknown protocol `quick`'):
        Recomputation(pyscf_code, protocol='quick').inputs(['Li'])
