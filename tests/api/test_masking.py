"""Masks read from texts and files, and what is sampled around them."""

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.api.masking import masked_requests, read_mask
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.requests import MotifsRequest

SITES = Structure(Lattice.tetragonal(4, 6), ['Cu', 'O', 'O'], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])


def requests(mask='kagome(Ni)', **values):
    """Return the requests of samples with a mask."""
    request = MotifsRequest.parse({'mode': 'motifs', 'novelty': 1.0, 'symmetry': 'free', 'count': 10, **values})
    return masked_requests(read_mask(mask), request, 0)


def test_a_file_is_a_mask_of_all_its_atoms(tmp_path):
    SITES.to(str(tmp_path / 'plane.cif'))
    mask = read_mask(tmp_path / 'plane.cif')
    assert mask.amounts == {'Cu': 1, 'O': 2} and mask.lattice == 'shape'
    assert read_mask(f'{tmp_path}/plane.cif; lattice = fixed').lattice == 'fixed'
    assert read_mask(SITES).amounts == mask.amounts and read_mask(mask) is mask
    with pytest.raises(InvalidInputError, match='`cell` is not an option: write `; lattice=fixed`'):
        read_mask(f'{tmp_path}/plane.cif; cell=fixed')
    with pytest.raises(InvalidInputError, match='`lattice`'):
        read_mask(f'{tmp_path}/plane.cif; lattice=cubic')


def test_a_file_with_several_crystals_is_no_mask(tmp_path):
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    write(tmp_path / 'two.extxyz', [AseAtomsAdaptor.get_atoms(SITES)] * 2)
    with pytest.raises(InvalidInputError, match=r'two\.extxyz has 2 crystals: a mask is one'):
        read_mask(tmp_path / 'two.extxyz')


def test_cells_of_a_formula_have_as_many_formula_units_as_the_mask_needs():
    found = requests(formula='NiS')
    assert [each['composition']['Ni'] for each in found] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert sum(each['count'] for each in found) == 10
    assert requests(formula='Ni3S2', formula_units=1)[0]['composition'] == {'Ni': 3, 'S': 2}
    # a large mask needs larger cells than usual
    assert requests('orbit(Ni,227)=0,0,0', formula='NiS2')[0]['composition'] == {'Ni': 8, 'S': 16}


def test_cells_of_a_chemical_system_have_all_elements_and_the_held_atoms():
    found = requests(elements=('Ni', 'S', 'Sn'), max_atoms=9)
    assert sum(each['count'] for each in found) == 10
    for each in found:
        content = each['composition']
        assert content['Ni'] >= 3 and min(content.values()) >= 1 and 5 <= sum(content.values()) <= 9
    assert len({tuple(each['composition'].items()) for each in found}) > 3
    assert found == requests(elements=('Ni', 'S', 'Sn'), max_atoms=9)


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ({'formula': 'CoS'}, 'the mask holds Ni, which CoS does not have'),
        ({'formula': 'NiS', 'formula_units': 2}, 'no cell of NiS with 1 to 40 atoms and 2 formula units has room'),
        ({'elements': ('Ni', 'S'), 'max_atoms': 3}, 'no cell of Ni S with 1 to 3 atoms has room'),
        ({'formula': 'NiS', 'novelty': 0.5}, 'leave out novelty'),
        ({'formula': 'NiS', 'symmetry': 'keep'}, 'leave out symmetry'),
        ({'elements': ('Ni', 'S'), 'pool': True}, 'leave out pool'),
    ],
)
def test_what_has_no_room_for_the_held_atoms_is_refused(values, expected):
    with pytest.raises(InvalidInputError, match=expected):
        requests(**values)
