"""Damaged files through every reader: an answer or an error of one line, never another exception."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import numpy as np
import pytest
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_qagenai.common.errors import QagenaiError
from aiida_qagenai.databases.sources.records import Entry, Problem, parse_records, read_records
from aiida_qagenai.databases.sources.settings import make_settings
from aiida_qagenai.exchange.readers.formats import format_of
from aiida_qagenai.exchange.readers.phase_files import read_phases
from aiida_qagenai.exchange.readers.structure_files import read_named_structures
from aiida_qagenai.exchange.structures import StructureBatch
from tests.fixtures.cif_texts import cif_text

CRYSTAL = Structure(Lattice.hexagonal(3.2, 5.2), ['Zn', 'O'], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]])
WURTZITE = cif_text(
    'Zn1 Zn 0.333 0.667 0\nO1 O 0.333 0.667 0.382',
    (3.25, 3.25, 5.2, 90, 90, 120),
    symbol='P 63 m c',
    formula='Zn O',
    z=2,
)


def _packed() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **StructureBatch.from_structures([CRYSTAL], ['a']).to_arrays())
    return buffer.getvalue()


def _originals() -> dict[str, bytes]:
    """Return good files by their names."""
    entry = ComputedStructureEntry(CRYSTAL, -9.0, entry_id='a-1', data={'e_form': -1.0}).as_dict()
    frame = io.StringIO()
    write(frame, AseAtomsAdaptor.get_atoms(CRYSTAL), format='extxyz')
    cif = CRYSTAL.to(fmt='cif')
    resource = {
        'id': 'o-1',
        'type': 'structures',
        'attributes': {
            'lattice_vectors': CRYSTAL.lattice.matrix.tolist(),
            'cartesian_site_positions': CRYSTAL.cart_coords.tolist(),
            'species_at_sites': ['Zn', 'O'],
        },
    }
    texts = {
        'a.cif': WURTZITE,
        'b.cif': "data_global\n_journal_name_full 'Acta'\n" + cif + WURTZITE,
        'a.vasp': CRYSTAL.to(fmt='poscar'),
        'a.xyz': frame.getvalue() * 2,
        'a.json': json.dumps({'entries': [entry, entry]}),
        'b.json': json.dumps([CRYSTAL.as_dict()], indent=1),
        'c.json': json.dumps({'data': [resource]}),
        'a.jsonl': json.dumps(entry) + '\n' + json.dumps({**entry, 'entry_id': 'b'}) + '\n',
        'a.csv': 'material_id,pretty_formula,energy_per_atom,cif\nm-1,ZnO,-4.5,"' + cif.replace('"', '""') + '"\n',
        'phases.csv': 'identifier,formula,formation_energy_per_atom\n0,ZnO,-1.8\n1,CuSO4.5H2O,-1.5\n2,NaN,0.9\n',
        'phases.json': json.dumps([{'formula': 'ZnO', 'energy_per_atom': -4.5, 'sigma': 0.1}]),
    }
    files = {name: text.encode() for name, text in texts.items()}
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as handle, tarfile.open(fileobj=tar, mode='w:gz') as other:
        for name in ('a.cif', 'a.vasp', 'a.csv', 'a.xyz'):
            handle.writestr(name, files[name])
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            other.addfile(info, io.BytesIO(files[name]))
    compressed = {'a.cif.gz': gzip.compress(files['a.cif']), 'a.json.bz2': bz2.compress(files['a.json'])}
    return {
        **files,
        **compressed,
        'a.csv.xz': lzma.compress(files['a.csv']),
        'a.npz': _packed(),
        'a.zip': archive.getvalue(),
        'a.tar.gz': tar.getvalue(),
    }


ORIGINALS = _originals()
JUNK = [
    b'\xff\xfe',
    b'\x00',
    b'nan',
    b'?',
    b'.',
    b"'",
    b'"',
    b';\n',
    b'loop_\n',
    b'1e999',
    b'-',
    b'[',
    b'{',
    b'9' * 400,
    b'\xb7',
    b'',
]


@st.composite
def damaged(draw) -> tuple[str, bytes]:
    """Draw the name and content of a file with one to three faults."""
    name = draw(st.sampled_from(sorted(ORIGINALS)))
    content = ORIGINALS[name]
    for _ in range(draw(st.integers(1, 3))):
        content = _damage(draw, content)
    return name, content


def _damage(draw, content: bytes) -> bytes:  # noqa: PLR0911 (one return per kind of fault)
    kind = draw(st.sampled_from(['cut', 'bytes', 'lines', 'drop', 'words', 'columns', 'encoding', 'repeat', 'case']))
    size = len(content)
    if kind == 'cut':
        return content[: draw(st.integers(0, size))]
    if kind == 'bytes':
        place = draw(st.integers(0, size))
        return content[:place] + draw(st.sampled_from(JUNK)) + content[place + draw(st.integers(0, 8)) :]
    if kind == 'repeat':
        place = draw(st.integers(0, size))
        return content + content[place:]
    if kind == 'case':
        return draw(st.sampled_from([bytes.upper, bytes.lower, bytes.swapcase]))(content)
    if kind == 'encoding':
        text = content.decode('latin-1')
        return text.encode(draw(st.sampled_from(['utf-16', 'utf-16-le', 'utf-32', 'utf-8-sig', 'utf-8', 'cp037'])))
    lines = content.split(b'\n')
    if kind == 'lines':
        return b'\n'.join(draw(st.permutations(lines)))
    place = draw(st.integers(0, len(lines) - 1))
    if kind == 'drop':
        return b'\r\n'.join([*lines[:place], *lines[place + 1 :]])
    separator = b',' if kind == 'columns' else b' '
    lines[place] = separator.join(draw(st.permutations(lines[place].split(separator))))
    return b'\n'.join(lines)


def _outcome(read, path) -> None:
    """Check that a reader answers, or says on one line what is wrong."""
    try:
        assert read(path)
    except QagenaiError as exception:
        assert str(exception)
        assert '\n' not in str(exception)


def _imported(path) -> bool:
    chosen = make_settings(database='x', version='1', license='none', format=format_of(path.name))
    with path.open('rb') as handle:
        for item in parse_records(list(read_records(handle, chosen, path.name)), chosen):
            assert isinstance(item, Entry | Problem)
            if isinstance(item, Problem):
                assert item.message
                assert '\n' not in item.message
    return True


def _through_every_reader(folder, file: tuple[str, bytes]) -> None:
    path = folder / file[0]
    path.write_bytes(file[1])
    for read in (read_named_structures, read_phases, _imported):
        _outcome(read, path)


@pytest.mark.parametrize('name', sorted(ORIGINALS))
def test_undamaged_files_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(ORIGINALS[name])
    if name.startswith('phases'):
        assert read_phases(path).phases
    elif name.endswith(('.zip', '.tar.gz')):
        assert _imported(path)
    else:
        assert read_named_structures(path)


LONG = b'9' * 400
"""An integer that is no float: JSON allows any number of digits."""


@pytest.mark.parametrize(
    ('name', 'number'),
    [('phases.json', b'-4.5'), ('a.jsonl', b'-9.0'), ('a.jsonl', b'1.0'), ('a.json', b'-9.0'), ('c.json', b'5.2')],
)
def test_integers_beyond_the_range_of_floats(tmp_path, name, number):
    assert number in ORIGINALS[name]
    _through_every_reader(tmp_path, (name, ORIGINALS[name].replace(number, LONG)))


SHARED = {'deadline': None, 'suppress_health_check': [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@settings(max_examples=50, **SHARED)
@given(damaged())
def test_damaged_files(tmp_path, file):
    _through_every_reader(tmp_path, file)


@pytest.mark.slow
@settings(max_examples=1000, **SHARED)
@given(damaged())
def test_many_damaged_files(tmp_path, file):
    _through_every_reader(tmp_path, file)
