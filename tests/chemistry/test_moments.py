"""Tests for :mod:`aiida_qagenai.chemistry.moments`."""

import pytest
from magnetic_crystals import rock_salt_cell
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Magmom

from aiida_qagenai.chemistry.moments import initial_moments, ion_moment, moments_of_structure
from aiida_qagenai.common.errors import InvalidInputError


def superoxide():
    return Structure.from_spacegroup('I4/mmm', Lattice.tetragonal(4.03, 6.70), ['K', 'O'], [[0, 0, 0], [0, 0, 0.405]])


def dimer(*symbols, length=1.2):
    return Structure(Lattice.cubic(5), symbols, [[0, 0, 0], [0, 0, length / 5]])


@pytest.mark.parametrize(
    ('symbol', 'state', 'high', 'low'),
    [
        ('Ti', 4, 0, 0),
        ('V', 4, 1, 1),
        ('Cr', 3, 3, 3),
        ('Mn', 2, 5, 1),
        ('Mn', 3, 4, 2),
        ('Fe', 2, 4, 0),
        ('Fe', 3, 5, 1),
        ('Co', 2, 3, 1),
        ('Co', 3, 4, 0),
        ('Ni', 2, 2, 2),
        ('Cu', 1, 0, 0),
        ('Cu', 2, 1, 1),
        ('Zn', 2, 0, 0),
        ('Ru', 4, 2, 2),
        ('Gd', 3, 7, 7),
        ('U', 4, 2, 2),
        ('Mg', 2, 0, 0),
        ('O', -2, 0, 0),
    ],
)
def test_unpaired_electrons_of_ions(symbol, state, high, low):
    """High and low spin, 4d ions, and ions without moments."""
    assert ion_moment(symbol, state) == high
    assert ion_moment(symbol, state, spin_state='low') == low


def test_a_mean_state_lies_between_its_neighbours():
    """Mn3.5+ is half way between d4 and d3."""
    assert ion_moment('Mn', 3.5) == pytest.approx(3.5)


def test_oxidation_states_give_the_moments_of_an_oxide():
    """MnO: five unpaired electrons on manganese, none on oxygen, and a text that says why."""
    found = initial_moments(rock_salt_cell('Mn', 'O', 4.44))
    assert found.values == (5.0, 0.0)
    assert found.sources == ('Mn2+ in high spin', 'O2− has no moment')
    assert found.magnetic == (0,)
    assert found.summary == ['Mn2+ in high spin']
    assert not found.is_ordering


def test_bonds_between_anions_count():
    """Iron in pyrite is Fe2+, though two sulfur atoms share its charge."""
    pyrite = Structure.from_spacegroup('Pa-3', Lattice.cubic(5.418), ['Fe', 'S'], [[0, 0, 0], [0.385, 0.385, 0.385]])
    assert initial_moments(pyrite).values[:4] == (4.0,) * 4
    assert initial_moments(pyrite, spin_state='low').magnetic == ()


def test_states_of_the_species_come_first():
    """Fe2+ and Fe3+ on equal sites keep the charges that the structure says."""
    species = ['Fe2+', 'Fe3+', 'O2-', 'O2-', 'F-']
    cell = Structure(Lattice.cubic(5), species, [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    assert initial_moments(cell).values == (4.0, 5.0, 0.0, 0.0, 0.0)


def test_metals_have_starts_of_their_own():
    """Iron as a metal has no oxidation state."""
    iron = Structure(Lattice.cubic(2.86), ['Fe', 'Fe'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert initial_moments(iron).values == (3.0, 3.0)
    assert initial_moments(iron).summary == ['Fe in a metal']


def test_the_user_comes_before_all_rules():
    """By site, or by element with the rules for the others."""
    cell = rock_salt_cell('Mn', 'O', 4.44)
    assert initial_moments(cell, [-4.5, 0.1]).values == (-4.5, 0.1)
    found = initial_moments(cell, {'Mn': 4.0})
    assert found.values == (4.0, 0.0)
    assert found.sources[0] == 'given'
    cell.add_site_property('magmom', [3.0, 0.0])
    assert initial_moments(cell, {'O': 0.2}).values == (3.0, 0.2)


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        ([5.0], '1 moments for the 2 atoms'),
        ({'Fe': 5.0}, 'given for Fe, which Mn1 O1 does not contain'),
        ([50.0, 0.0], 'between −10 and 10'),
        ({'Mn': float('nan')}, 'between −10 and 10'),
    ],
)
def test_moments_that_do_not_fit_are_refused(given, text):
    """The message says what was expected."""
    with pytest.raises(InvalidInputError, match=text):
        initial_moments(rock_salt_cell('Mn', 'O', 4.44), given)


def test_an_unknown_spin_state_is_refused():
    """Only high and low are known."""
    with pytest.raises(InvalidInputError, match='choose from high, low'):
        initial_moments(rock_salt_cell('Mn', 'O', 4.44), spin_state='middle')


def test_moments_of_a_structure():
    """Scalars, spins of species, collinear vectors in any direction; others are refused."""
    cell = rock_salt_cell('Mn', 'O', 4.44)
    assert moments_of_structure(cell) is None
    cell.add_spin_by_element({'Mn': 5, 'O': 0})
    assert moments_of_structure(cell) == [5.0, 0.0]
    pair = Structure(Lattice.cubic(4), ['Mn', 'Mn'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    pair.add_site_property('magmom', [Magmom([0, 3, 4]), Magmom([0, -3, -4])])
    assert moments_of_structure(pair) == pytest.approx([5.0, -5.0])
    assert initial_moments(pair).is_ordering
    pair.add_site_property('magmom', [[0, 0, 4.0], [0, 4.0, 0]])
    with pytest.raises(InvalidInputError, match='not collinear'):
        moments_of_structure(pair)


@pytest.mark.parametrize(
    ('structure', 'total'),
    [
        (dimer('O', 'O'), 2.0),
        (dimer('N', 'O'), 1.0),
        (dimer('N', 'N', length=1.1), 0.0),
        (superoxide(), 2.0),
        (rock_salt_cell('Na', 'Cl', 5.6), 0.0),
        (Structure(Lattice.cubic(3.5), ['Li'], [[0, 0, 0]]), 0.0),
    ],
    ids=['oxygen', 'nitric-oxide', 'nitrogen', 'superoxide', 'salt', 'lithium'],
)
def test_molecules_and_ions_of_nonmetals(structure, total):
    """Oxygen is a triplet, each superoxide ion a doublet; closed shells and simple metals have no moments."""
    found = initial_moments(structure)
    assert sum(found.values) == pytest.approx(total)
    assert all(structure[index].specie.symbol in {'N', 'O'} for index in found.magnetic)


def test_an_odd_electron_without_a_place_is_refused():
    """No rule says where the unpaired electron of LiH2 is."""
    cell = Structure(Lattice.cubic(4), ['Li', 'H', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]])
    with pytest.raises(InvalidInputError, match='odd number of electrons per cell'):
        initial_moments(cell)
    assert initial_moments(cell, {'H': 0.5}).values == (0.0, 0.5, 0.5)
