"""Tests for :mod:`aiida_qagenai.exchange.readers.structure_files`."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.readers.structure_files import read_attempts, read_structures
from aiida_qagenai.exchange.structures import StructureBatch

ROCK_SALT = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = """data_LiH
_cell_length_a 4.08
_cell_length_b 4.08
_cell_length_c 4.08
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 Li 0.0 0.0 0.0
H1 H 0.5 0.5 0.5

"""
EXTXYZ = """2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"
Li 0 0 0
H 2 2 2
"""


@pytest.mark.parametrize('name', ['a.cif', 'POSCAR', 'a.vasp', 'a.json', 'a.csv', 'a.npz'])
def test_every_format_gives_the_structure_back(tmp_path, name):
    path = tmp_path / name
    if name == 'a.json':
        path.write_text(json.dumps([ROCK_SALT.as_dict()]))
    elif name == 'a.csv':
        cif = ROCK_SALT.to(fmt='cif').replace('"', '""')
        path.write_text(f'material_id,cif\nmp-1,"{cif}"\n')
    elif name == 'a.npz':
        StructureBatch.from_structures([ROCK_SALT], ['mine']).save(path)
    else:
        ROCK_SALT.to(filename=str(path), fmt='cif' if name.endswith('cif') else 'poscar')
    [(label, structure)] = read_structures(path)
    assert structure.composition == ROCK_SALT.composition
    assert structure.volume == pytest.approx(ROCK_SALT.volume, rel=1e-6)
    assert label in {'a', name, 'a#0', 'mp-1', 'mine'}


def test_extxyz_holds_many(tmp_path):
    path = tmp_path / 'many.extxyz'
    path.write_text(EXTXYZ * 3)
    assert [name for name, _ in read_structures(path)] == ['many#0', 'many#1', 'many#2']
    assert np.allclose(read_structures(path)[2][1].lattice.abc, 4)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.cif', '', 'empty'),
        ('a.cif', 'not a cif', 'cannot be read'),
        ('a.txt', 'x', 'format'),
        ('a.xyz', '1\nno lattice\nLi 0 0 0\n', 'index 0: not periodic'),
        ('a.json', '[{"sites": []}]', 'index 0'),
        ('a.csv', 'name\nx\n', 'no column `cif`'),
        ('a.csv', 'cif\nrubbish\n', 'line 2'),
        ('a.extxyz', EXTXYZ + EXTXYZ.replace('H 2', 'Qq 2'), "index 1: unknown element 'Qq'"),
        ('a.extxyz', EXTXYZ + EXTXYZ.replace('0 0 0 4"', '0 0 0 0"'), 'index 1: the cell has zero volume'),
        ('a.extxyz', EXTXYZ.replace('H 2', 'H 2e12'), 'index 0: an atom stands 5e[+]11 cells away'),
        ('a.extxyz', EXTXYZ.replace('pos:R:3', 'pos:R:99999999'), 'index 0: no line has so many columns'),
        ('a.cif', CIF.replace('4.08', '0.0'), 'section 1: the cell has zero volume'),
        (
            'a.cif',
            CIF + CIF.replace('0.5 0.5', 'nan nan').replace('data_LiH', 'data_two'),
            'section 2: a number is NaN',
        ),
        ('a.csv', 'cif\n"' + CIF + '"\n"' + CIF.replace('4.08', '0.0') + '"\n', r'line \d+: .*zero volume'),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        read_structures(path)


def test_a_damaged_packed_file_is_refused(tmp_path):
    path = tmp_path / 'a.npz'
    path.write_bytes(b'PK broken')
    with pytest.raises(CorruptFileError):
        read_structures(path)


def test_what_cannot_be_read_can_be_kept(tmp_path):
    """Two structures around one without volume: refused as a file, kept with the reason as attempts."""
    path = tmp_path / 'samples.extxyz'
    good = EXTXYZ.replace('pbc=', 'request=3 pbc=')
    path.write_text(good + EXTXYZ.replace('4 0 0 0 4 0 0 0 4', '4 0 0 0 4 0 0 0 0') + EXTXYZ)
    with pytest.raises(InvalidInputError, match='line 5, index 1'):
        read_structures(path)
    first, broken, last = read_attempts(path)
    assert first.structure is not None and last.structure is not None and first.fields['request'] == 3
    assert (broken.name, broken.structure) == ('samples#1', None) and broken.problem
    with pytest.raises(InvalidInputError, match='is not a file'):
        read_attempts(tmp_path / 'nothing.cif')


def test_moments_are_read(tmp_path):
    """From extended XYZ, computed or given, and from JSON of pymatgen with spins of species or moments of sites."""
    atoms = Atoms('MnO', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[3.0] * 3, pbc=True)
    atoms.set_initial_magnetic_moments([5.0, 0.0])
    atoms.write(tmp_path / 'given.extxyz')
    atoms.set_initial_magnetic_moments(None)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, magmoms=[4.5, 0.1])
    atoms.write(tmp_path / 'computed.extxyz')
    crystal = Structure(np.eye(3) * 3, ['Mn', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.copy(site_properties={'magmom': [4.0, 0.0]}).to(str(tmp_path / 'sites.json'))
    crystal.add_spin_by_element({'Mn': 3, 'O': 0})
    crystal.to(str(tmp_path / 'species.json'))
    names = ('given.extxyz', 'computed.extxyz', 'sites.json', 'species.json')
    found = [read_structures(tmp_path / name)[0][1] for name in names]
    assert [each.site_properties['magmom'] for each in found] == [[5.0, 0.0], [4.5, 0.1], [4.0, 0.0], [3.0, 0.0]]
    assert all(each[0].species_string == 'Mn' for each in found)
