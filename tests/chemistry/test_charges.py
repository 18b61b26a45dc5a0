"""Tests for :mod:`aiida_qagenai.chemistry.charges` and :mod:`aiida_qagenai.chemistry.bond_valence`."""

import math

import pytest
from pymatgen.core import Composition

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS, unit_bond
from aiida_qagenai.chemistry.charges import assign_bonded_charges, assign_charges, balances_commonly


@pytest.mark.parametrize(
    ('composition', 'states'),
    [
        ({'Li': 1, 'H': 1}, {'Li': 1, 'H': -1}),
        ({'Sr': 1, 'Ti': 1, 'O': 3}, {'Sr': 2, 'Ti': 4, 'O': -2}),
        ({'Li': 2, 'Fe': 2, 'P': 2, 'O': 8}, {'Li': 1, 'Fe': 2, 'P': 5, 'O': -2}),
        ({'Mg': 1, 'Al': 2, 'O': 4}, {'Mg': 2, 'Al': 3, 'O': -2}),
        ({'Mo': 1, 'S': 2}, {'Mo': 4, 'S': -2}),
        ({'Pt': 1, 'Te': 2}, {'Pt': 4, 'Te': -2}),
        ({'Na': 1, 'Cl': 1, 'O': 3}, {'Na': 1, 'Cl': 5, 'O': -2}),
    ],
)
def test_textbook_states(composition, states):
    found = assign_charges(composition)
    assert found.states == states
    assert found.closed_shell
    assert found.mixed is None


def test_mixed_valence_takes_a_mean_state():
    found = assign_charges({'Fe': 3, 'O': 4})
    assert found.mixed == 'Fe'
    assert found.states['Fe'] == pytest.approx(8 / 3)


def test_pyrite_has_open_shells_once_its_sulfur_is_bonded():
    found = assign_charges({'Fe': 1, 'S': 2}, closed_shell=False)
    assert found.states == {'Fe': 2, 'S': -1}
    assert not found.closed_shell


@pytest.mark.parametrize('composition', [{'Li': 2, 'H': 1}, {'Ni': 1}, {'He': 1, 'O': 1}, {'Na': 1, 'K': 1}])
def test_no_assignment(composition):
    assert assign_charges(composition) is None


def test_unit_bonds_lie_near_the_published_ones_of_single_pairs():
    # Brown and Altermatt (1985) and Brese and O'Keeffe (1991): pairs fitted one by one
    for arguments, published in [
        (('Ti', 4.0, 'O'), 1.815),
        (('Sr', 2.0, 'O'), 2.118),
        (('Mg', 2.0, 'O'), 1.693),
        (('Cu', 2.0, 'F'), 1.594),
        (('Na', 1.0, 'Cl'), 2.15),
    ]:
        unit = unit_bond(*arguments)
        assert unit.published
        assert abs(unit.length - published) <= unit.uncertainty + 0.05


def test_unpublished_elements_fall_back_on_covalent_radii():
    unit = unit_bond('Fr', 1.0, 'At')
    assert not unit.published
    assert unit.length == pytest.approx(2.23 + 1.47)


def test_a_regular_octahedron_carries_the_charge():
    unit = unit_bond('Mg', 2.0, 'O')
    assert 6 * math.exp((unit.length - 2.11) / BOND_SOFTNESS) == pytest.approx(2.0, abs=0.25)


def test_bonds_between_anions_supply_electrons():
    # half of the selenium of BiSe2 is in pairs
    assert assign_bonded_charges({'Bi': 4, 'Se': 8}, {'Se': 4}).states == {'Bi': 3.0, 'Se': -1.5}
    assert assign_bonded_charges({'Ba': 1, 'O': 2}, {'O': 2}).states == {'Ba': 2.0, 'O': -1.0}
    assert assign_bonded_charges({'Ba': 1, 'O': 2}, {'O': 1}) is None
    assert assign_bonded_charges({'Ba': 1, 'O': 1}, {'O': 2}) is None


@pytest.mark.parametrize('formula', ['YF3', 'AlCl3', 'ZrF4', 'KClO3', 'Fe3O4', 'GaCl2'])
def test_known_compounds_balance_in_states_that_are_not_rare(formula):
    assert balances_commonly({str(element): int(n) for element, n in Composition(formula).items()})


@pytest.mark.parametrize('formula', ['YF2', 'AlCl2', 'ZrO3', 'Zr2O5', 'BaCl'])
def test_compounds_of_rare_states_do_not(formula):
    assert not balances_commonly({str(element): int(n) for element, n in Composition(formula).items()})
