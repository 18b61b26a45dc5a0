"""Crystals that programs propose: what can be used, and what becomes of the rest."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.exchange.readers.proposals import Limits, read_proposals

SALT = Structure.from_spacegroup(225, Lattice.cubic(5.64), ['Na', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]])
DISORDERED = Structure(Lattice.cubic(3), [{'Na': 0.5, 'K': 0.5}], [[0, 0, 0]])
CIF = SALT.to(fmt='cif').encode()


def archive(**files: bytes) -> bytes:
    """Return a ZIP file."""
    handle = io.BytesIO()
    with zipfile.ZipFile(handle, 'w') as packed:
        for name, content in files.items():
            packed.writestr(f'{name}.cif', content)
    return handle.getvalue()


def test_every_format():
    """Files of one and of several crystals are read in their order, and each crystal is named by its place."""
    poscar = SALT.to(fmt='poscar').encode()
    files = [
        ('out/b.cif', CIF),
        ('POSCAR_1', poscar),
        ('all.json', json.dumps([SALT.as_dict()] * 2).encode()),
        ('all.zip', archive(first=CIF, second=CIF)),
        ('two.cif', CIF + CIF.replace(b'data_NaCl', b'data_other')),
    ]
    found = read_proposals(files, Limits())
    assert [name for name, _ in found.structures] == [
        'out/b.cif', 'POSCAR_1', 'all.json, line 1, index 0', 'all.json, line 1, index 1',
        'all.zip, first.cif', 'all.zip, second.cif', 'two.cif, two#NaCl', 'two.cif, two#other',
    ]  # fmt: skip
    assert {len(structure) for _, structure in found.structures} == {8}
    assert not found.problems and not found.unreadable


@pytest.mark.parametrize(
    ('name', 'content', 'problem'),
    [
        ('a.cif', b'nonsense', 'a.cif: it cannot be read as CIF: it has no `data_` block'),
        ('a.cif', b'', 'a.cif: it has no structures'),
        ('a.zip', archive(good=CIF, bad=b'x'), 'a.zip, bad.cif: it cannot be read as CIF: it has no `data_` block'),
        ('a.cif', DISORDERED.to(fmt='cif').encode(), 'partial occupancies'),
        ('POSCAR', b'nonsense', 'POSCAR: '),
    ],
    ids=['cif', 'empty-cif', 'zip', 'disordered', 'poscar'],
)
def test_problem(name, content, problem):
    """A structure that cannot be used is counted with its reason."""
    found = read_proposals([(name, content)], Limits())
    assert [problem in text for text in found.problems] == [True], found
    assert not found.unreadable


@pytest.mark.parametrize(
    ('name', 'content', 'reason'),
    [
        ('log.txt', b'hello', 'log.txt: its name does not tell its format'),
        ('a.json', b'{', 'a.json, line 1: not JSON'),
        ('a.csv', b'x,y\n1,2\n', 'a.csv: the table has no column `cif`'),
        ('a.zip', archive(good=CIF)[:50], 'a.zip, after the beginning: the file is truncated'),
        ('a.npz', b'', 'a.npz: it has no structures'),
        ('a.npz', b'PK', 'a.npz: cannot read packed arrays'),
        ('a.extxyz', b'3\n', 'a.extxyz, line 1, index 0: the file ends after 0 of 3 atoms'),
    ],
    # An archive holds the time at which it was written: its bytes cannot name a test.
    ids=['log', 'json', 'csv', 'zip', 'npz', 'truncated-npz', 'extxyz'],
)
def test_unreadable_file(name, content, reason):
    """A file of several structures in which nothing can be read is no mere bad structure."""
    found = read_proposals([(name, content)], Limits())
    assert [text.startswith(reason) for text in found.unreadable] == [True], found
    assert not found.problems and not found.structures


def test_truncated_file():
    """What stands before the damage is used, the rest is a problem."""
    frame = b'1\nLattice="3 0 0 0 3 0 0 0 3"\nNa 0 0 0\n'
    found = read_proposals([('a.extxyz', 2 * frame + frame[:-10])], Limits())
    assert len(found.structures) == 2
    assert found.problems == ['a.extxyz, line 7, index 2: the file ends after 0 of 1 atoms']


def test_limits():
    """Atoms are counted in the primitive cell if crystals are reduced to it."""
    files = [('a.cif', CIF)]
    assert [len(crystal) for _, crystal in read_proposals(files, Limits(max_atoms=2, primitive=True)).structures] == [2]
    assert read_proposals(files, Limits(max_atoms=2)).problems == [
        'a.cif: the structure has 8 atoms: at most 2 may be in a cell'
    ]
    assert read_proposals(files, Limits(elements=('Na', 'K'))).problems == [
        'a.cif: the structure has Cl: only Na, K may occur'
    ]
