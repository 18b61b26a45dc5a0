"""Tests for :mod:`aiida_qagenai.evaluation.validity`."""

import itertools

import pytest
from pymatgen.core import Composition, DummySpecies, Lattice, Structure

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.evaluation.validity import CURRENT, LEGACY, composition_is_valid, is_valid, structure_is_valid


def pair(distance, edge=4.0):
    return Structure(Lattice.cubic(edge), ['Na', 'Cl'], [[0, 0, 0], [distance / edge, 0, 0]])


def test_atoms_are_half_an_angstrom_apart():
    assert structure_is_valid(pair(0.5001)) and not structure_is_valid(pair(0.4999))


def test_the_nearest_image_counts():
    """3.6 Å along a cell of 4 Å is 0.4 Å from the next image."""
    assert not structure_is_valid(pair(3.6))


def test_images_of_one_atom_and_the_volume():
    """A single atom has no other to be close to; a cell of 0.4³ = 0.064 Å3 is too small, one of 0.5³ is not."""
    assert structure_is_valid(Structure(Lattice.cubic(0.5), ['Na'], [[0, 0, 0]]))
    assert not structure_is_valid(Structure(Lattice.cubic(0.45), ['Na'], [[0, 0, 0]]))


@pytest.mark.parametrize(
    'broken',
    [
        Structure(Lattice.cubic(4.0), ['Na', 'Cl'], [[0, 0, 0], [float('nan'), 0, 0]]),
        Structure(Lattice.cubic(4.0), [{'Na': 0.5, 'K': 0.5}, 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Structure(Lattice.cubic(4.0), [DummySpecies('X'), 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ],
)
def test_odd_structures_are_not_valid(broken):
    assert not structure_is_valid(broken) and not is_valid(broken)


@pytest.mark.parametrize(
    ('composition', 'valid'),
    [
        ({'Na': 1, 'Cl': 1}, True),  # +1, −1
        ({'Na': 2, 'Cl': 2}, True),  # the same formula
        ({'Na': 3, 'O': 1}, False),  # ±1 of sodium three times, no ∓3 of oxygen
        ({'Fe': 3, 'O': 4}, False),  # one state per element: no −8/3 of iron
        ({'Pb': 1, 'Te': 1}, True),  # 1.8 < 2.1 in SMACT
        ({'Cu': 3, 'Au': 1}, True),  # an alloy
        ({'Ge': 1, 'Sb': 2}, True),  # metals for SMACT
        ({'Si': 2}, True),  # an element
        ({'Na': 1, 'Ne': 1}, False),  # neon has no states
        ({'O': 1, 'F': 2}, True),  # +2 of oxygen, −1 of fluorine
    ],
)
def test_compositions_by_hand(composition, valid):
    assert composition_is_valid(composition, LEGACY) is valid


def test_the_lists_differ():
    """The original list has magnesium with +1, the current one does not."""
    assert [composition_is_valid({'Mg': 1, 'Cl': 1}, source) for source in (LEGACY, CURRENT)] == [True, False]


@pytest.mark.parametrize('source', [LEGACY, CURRENT])
def test_rules_are_those_of_smact(source):
    """Every pair of elements in four ratios, and ternary oxides, agree with SMACT itself."""
    screening = pytest.importorskip('smact.screening')
    pairs = itertools.combinations(SYMBOLS[:96], 2)
    compositions = [{a: n, b: m} for a, b in pairs for n, m in ((1, 1), (1, 2), (2, 1), (2, 3))][::7]
    compositions += [{a: 1, b: 2, 'O': 4} for a, b in itertools.combinations(SYMBOLS[:96:3], 2) if 'O' not in (a, b)]
    wrong = [
        composition
        for composition in compositions
        if composition_is_valid(composition, source)
        != screening.smact_validity(Composition(composition), oxidation_states_set=source)
    ]
    assert len(compositions) > 2500 and not wrong
