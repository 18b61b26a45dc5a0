"""Tests for :mod:`aiida_qagenai.chemistry.composition` and the lists of oxidation states."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.chemistry.composition import (
    count_assignments,
    is_charge_neutral,
    neutral_assignments,
    neutral_compositions,
)
from aiida_qagenai.chemistry.oxidation_states import SOURCES, electronegativity, oxidation_states
from aiida_qagenai.common.errors import InvalidInputError


def test_lithium_hydride_is_the_only_ratio():
    found = neutral_compositions(['Li', 'H'], max_atoms=6)
    assert found == [{'Li': 1, 'H': 1}, {'Li': 2, 'H': 2}, {'Li': 3, 'H': 3}]


def test_subsystems_are_included_on_request():
    found = neutral_compositions(['Li', 'Mg', 'O'], max_atoms=3, require_all=False, source='pymatgen_icsd')
    assert {'Li': 2, 'O': 1} in found
    assert {'Mg': 1, 'O': 1} in found
    assert {'Li': 1} in found
    assert {'Li': 1, 'O': 1} not in found


def test_magnetite_needs_mixed_valence():
    composition = {'Fe': 3, 'O': 4}
    assert not is_charge_neutral(composition, source='pymatgen_icsd')
    assert is_charge_neutral(composition, source='pymatgen_icsd', mixed_valence=True)
    assert not is_charge_neutral(composition, source='pymatgen_icsd', mixed_valence=['Mn'])


def test_tolerance_acts_only_on_declared_mixed_valence():
    composition = {'Li': 1, 'Fe': 1, 'P': 1, 'O': 3.97}
    with pytest.raises(InvalidInputError, match='mixed_valence'):
        is_charge_neutral(composition)
    # Fe(II) leaves +0.06 e
    options = {'source': 'pymatgen_common', 'mixed_valence': ['Fe']}
    assert is_charge_neutral(composition, **options)
    assert not is_charge_neutral(composition, tolerance=0.01, **options)


def test_electronegativity_order_forbids_inverted_compounds():
    # SMACT's current list knows Cl(+7) and As(-1): only the order of electronegativities tells
    inverted = {'As': 7, 'Cl': 1}
    assert is_charge_neutral(inverted)
    assert not is_charge_neutral(inverted, electronegativity_order=True)
    assert is_charge_neutral({'Na': 1, 'Cl': 1}, electronegativity_order=True)


@pytest.mark.parametrize('arguments', [(['Xx'], 2), ([], 2), ('LiH', 2), (['Li', 'H'], 0)])
def test_bad_input_is_refused(arguments):
    elements, max_atoms = arguments
    with pytest.raises(InvalidInputError):
        neutral_compositions(elements, max_atoms=max_atoms)


def test_unknown_source_is_refused():
    with pytest.raises(InvalidInputError, match='icsd24'):
        oxidation_states('Li', 'mine')
    with pytest.raises(InvalidInputError, match='unknown element'):
        oxidation_states('Qq')


@pytest.mark.parametrize('source', SOURCES)
def test_undisputed_states(source):
    assert oxidation_states('Li', source) == (1,)
    assert oxidation_states('F', source) == (-1,)
    assert -2 in oxidation_states('O', source)
    assert 0 not in oxidation_states('C', source)


def test_noble_gases_have_neither_states_nor_electronegativity():
    assert oxidation_states('He') == ()
    assert electronegativity('He') is None


@given(
    composition=st.dictionaries(
        st.sampled_from(['Li', 'Mg', 'Al', 'Ti', 'Fe', 'Mn', 'O', 'F', 'S', 'N', 'H']),
        st.integers(1, 6),
        min_size=2,
        max_size=4,
    ),
    ordered=st.booleans(),
    source=st.sampled_from(SOURCES),
)
def test_agrees_with_explicit_assignments(composition, ordered, source):
    assignments = neutral_assignments(composition, source=source, electronegativity_order=ordered)
    for assignment in assignments:
        assert sum(composition[s] * q for s, q in assignment.items()) == 0
    assert is_charge_neutral(composition, source=source, electronegativity_order=ordered) == bool(assignments)
    assert count_assignments(composition, source=source, electronegativity_order=ordered) == len(assignments)


@given(composition=st.dictionaries(st.sampled_from(['Fe', 'Mn', 'O', 'Li']), st.integers(1, 3), min_size=2, max_size=3))
def test_mixed_valence_agrees_with_brute_force(composition):
    choices = []
    for symbol, count in composition.items():
        states = oxidation_states(symbol, 'pymatgen_common')
        pick = itertools.product(states, repeat=count) if symbol in ('Fe', 'Mn') else ([q] * count for q in states)
        choices.append({sum(chosen) for chosen in pick})
    expected = any(sum(charges) == 0 for charges in itertools.product(*choices))
    assert is_charge_neutral(composition, source='pymatgen_common', mixed_valence=['Fe', 'Mn']) == expected


@pytest.mark.parametrize(
    'formula', [{'K': 1, 'N': 3}, {'K': 1, 'O': 2}, {'K': 1, 'O': 3}, {'Cs': 1, 'I': 3}, {'Pb': 1, 'N': 6}]
)
def test_ions_of_bonded_atoms_count_on_request(formula):
    assert not is_charge_neutral(formula)
    assert is_charge_neutral(formula, polyanions=True)
    assert formula in neutral_compositions(list(formula), max_atoms=7, polyanions=True)
    assert formula not in neutral_compositions(list(formula), max_atoms=7)


@pytest.mark.parametrize('formula', [{'K': 1, 'Cl': 2}, {'Li': 1, 'F': 2}, {'Na': 1, 'O': 5}, {'Cs': 1, 'F': 3}])
def test_no_ion_balances_these(formula):
    assert not is_charge_neutral(formula, polyanions=True)
