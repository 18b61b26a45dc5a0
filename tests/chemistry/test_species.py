"""Tests for :mod:`aiida_qagenai.chemistry.species`."""

import pytest
from pymatgen.core import Lattice, Species, Structure

from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.chemistry.symmetry import fingerprint

BARE = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.33), ['Fe', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])


def decorated(cation, anion, **options):
    return Structure(BARE.lattice, [cation] * 4 + [anion] * 4, BARE.frac_coords, **options)


@pytest.mark.parametrize(
    'structure',
    [
        decorated('Fe2+', 'O2-'),
        decorated(Species('Fe', None, spin=4), 'O'),
        decorated(Species('Fe', 2, spin=-4), Species('O', -2, spin=0)),
        decorated('Fe', 'O', labels=[f'X{i}' for i in range(8)]),
        decorated('Fe2+', 'O2-', site_properties={'magmom': [4.0] * 8}),
    ],
    ids=['oxidation states', 'spins', 'both', 'labels', 'site properties'],
)
def test_what_is_said_of_a_species_changes_no_crystal(structure):
    plain = plain_structure(structure)
    assert plain.composition == BARE.composition
    assert [site.species_string for site in plain] == [site.species_string for site in BARE]
    assert fingerprint(plain) == fingerprint(BARE)
    assert KnownStructures([BARE]).find(structure) == 0
    assert KnownStructures([structure]).find(BARE) == 0


def test_bare_elements_stay_the_same_object():
    assert plain_structure(BARE) is BARE


def test_isotopes_are_their_element():
    structure = Structure(
        Lattice.cubic(4), ['D', 'T', 'H+', 'Li+'], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0.5] * 3]
    )
    assert plain_structure(structure).composition.as_dict() == {'H': 3, 'Li': 1}


def test_one_element_in_two_states_is_ordered():
    structure = Structure(Lattice.cubic(4), [{'Fe2+': 0.5, 'Fe3+': 0.5}, 'O2-'], [[0, 0, 0], [0.5] * 3])
    assert not structure.is_ordered
    assert plain_structure(structure).is_ordered
