"""Atoms that are held while others are sampled."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.masks import SiteMask


def nearest(mask):
    """Return the number and the distance of the nearest neighbours of the first held atom."""
    structure = Structure(Lattice(np.array(mask.cell)), mask.species, mask.fractional)
    distances = sorted(each.nn_distance for each in structure.get_neighbors(structure[0], 8))
    return sum(distance < distances[0] + 1e-6 for distance in distances), distances[0]


@pytest.mark.parametrize(
    ('text', 'number', 'neighbours'),
    [('kagome(Ni)', 3, 4), ('honeycomb(Fe)', 2, 3), ('triangular(Co)', 1, 6), ('square(Cu)', 1, 4), ('lieb(Cu)', 3, 4)],
)
def test_nets_have_the_distance_that_was_given(text, number, neighbours):
    mask = SiteMask.of_text(f'{text}=2.5')
    long = mask.model_copy(update={'cell': (*mask.cell[:2], (0, 0, 30))})
    assert len(mask) == number and nearest(long) == (neighbours, pytest.approx(2.5))
    assert mask.lattice == 'plane' and SiteMask.of_text(text).lattice == 'shape'
    assert SiteMask.model_validate(mask.dump()) == mask == SiteMask.model_validate(f'{text}=2.5')


def test_sublattices_have_elements_of_their_own():
    assert SiteMask.of_text('lieb(Cu, O)').species == ('Cu', 'O', 'O')
    assert SiteMask.of_text('honeycomb(B,N)').amounts == {'B': 1, 'N': 1}


def test_an_orbit_has_all_equivalent_positions_in_the_cell_of_its_crystal_system():
    kagome = SiteMask.of_text('orbit(Ni,191)=1/2,0,0')
    assert sorted(kagome.fractional) == sorted(SiteMask.of_text('kagome(Ni)').fractional)
    a, b, c = (np.array(row) for row in kagome.cell)
    assert a @ b / (a @ a) == pytest.approx(-0.5) and abs(a @ c) < 1e-9
    assert len(SiteMask.of_text('orbit(Al,227)=0,0,0')) == 8
    assert SiteMask.of_text('orbit(Ni,191)=1/2,0,0; lattice=free').lattice == 'free'


def test_a_crystal_is_a_mask_of_all_its_atoms():
    mask = SiteMask.of_structure(Structure(Lattice.cubic(4), ['Cs', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]), 'fixed')
    assert mask.text == '1 Cs, 1 Cl' and mask.lattice == 'fixed'


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('kagom(Ni)', 'unknown net `kagom`: did you mean `kagome`'),
        ('pyrochlore(Ni)', 'it is triangular, honeycomb, kagome, square, lieb, orbit'),
        ('nickel.cif', 'it is neither a file nor a mask: write `kagome'),
        ('kagome(Xx)', 'unknown element Xx'),
        ('kagome()', 'unknown element'),
        ('kagome(Ni,S)', '`kagome` takes one element, as in `kagome'),
        ('lieb(Cu,O,O)', '`lieb` takes 1 or 2 elements'),
        ('kagome(Ni)=two', '`two` is not a distance in Å'),
        ('kagome(Ni)=-2', 'a distance is larger than 0'),
        ('kagome(Ni)=1.2', r'Ni and Ni are 1\.20 Å apart, less than 1\.'),
        ('kagome(Ni); lattice=plane', 'no length is given: write free or shape'),
        ('kagome(Ni)=2.5; lattice=fixed', 'no length is given for c'),
        ('kagome(Ni); lattice=hexagonal', 'write free, shape, plane, fixed'),
        ('orbit(Ni,191)', 'an orbit is an element, a space group from 1 to 230 and a position'),
        ('orbit(Ni,231)=0,0,0', 'a space group from 1 to 230'),
        ('orbit(Ni,191)=1/2,0,x', '`x` is not a fractional coordinate'),
    ],
)
def test_what_cannot_be_read_is_named(text, expected):
    with pytest.raises(InvalidInputError, match=expected):
        SiteMask.of_text(text)


def test_crystals_that_cannot_be_masks_are_refused():
    disordered = Structure(Lattice.cubic(4), [{'Ni': 0.5, 'Fe': 0.5}], [[0, 0, 0]])
    with pytest.raises(InvalidInputError, match='partial occupancies'):
        SiteMask.of_structure(disordered)
    twice = Structure(Lattice.cubic(4), ['Ni', 'Ni'], [[0, 0, 0], [0, 0, 0.001]])
    with pytest.raises(InvalidInputError, match='Ni and Ni coincide'):
        SiteMask.of_structure(twice)
    skewed = Structure(Lattice([[4, 0, 0], [0, 4, 0], [1, 0, 4]]), ['Ni'], [[0, 0, 0]])
    with pytest.raises(InvalidInputError, match='c is normal to a and b'):
        SiteMask.of_structure(skewed, 'plane')


def test_a_cell_needs_the_held_atoms():
    mask = SiteMask.of_text('kagome(Ni)')
    mask.check_content({'Ni': 3, 'S': 2}, 'request 0')
    with pytest.raises(InvalidInputError, match='the mask holds 3 Ni, but request 0 has 2 in its cell'):
        mask.check_content({'Ni': 2, 'S': 2}, 'request 0')
    assert math.isclose(nearest(mask)[1], 3)
