"""What files hold, and what is said of the records that are malformed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.databases.sources.records import Entry, Problem, parse_records, read_records
from aiida_qagenai.databases.sources.settings import energy_column, make_settings
from aiida_qagenai.exchange.readers.formats import detect_format, pack_folder
from aiida_qagenai.exchange.readers.json_files import read_items


def rock_salt(a=4.08):
    from pymatgen.core import Lattice, Structure

    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(a), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def read(settings):
    """Return a function that reads a file to (entries, problems)."""

    def run(path, **changes):
        changes = {'format': detect_format(path), **changes}
        with path.open('rb') as handle:
            found = parse_records(list(read_records(handle, settings(**changes), path.name)), settings(**changes))
        entries = [item for item in found if isinstance(item, Entry)]
        return entries, [item for item in found if isinstance(item, Problem)]

    return run


def test_csv_with_cif_column(read, write_csv, rows):
    entries, problems = read(write_csv(rows(3), 'mp.csv.gz'))
    assert not problems
    assert [entry.identifier for entry in entries] == ['mp-0', 'mp-1', 'mp-2']
    assert entries[1].space_group_number == 225
    assert entries[1].energies == ((Fidelity.PBE, None, pytest.approx(-0.499)),)
    assert entries[1].properties == {'band_gap': 3.0, 'theoretical': False}
    assert entries[1].experimental is True
    assert sorted(entries[1].symbols) == ['H'] * 4 + ['Li'] * 4


def test_malformed_rows_are_reported_with_their_line(read, write_csv, rows):
    good = rows(6)
    good[1]['cif'] = 'data_broken'
    good[2]['formation_energy_per_atom'] = 'low'
    good[3]['formation_energy_per_atom'] = -350.0
    good[4]['material_id'] = ''
    length = good[0]['cif'].count('\n') + 1
    entries, problems = read(write_csv([*good, 'mp-7,too short']))
    assert [entry.identifier for entry in entries] == ['mp-0', 'mp-5']
    # the header, the good row, the broken row, and three more with a CIF
    assert [problem.place for problem in problems] == [
        f'line {number}' for number in (2 + length, 3 + length, 3 + 2 * length, 3 + 3 * length, 3 + 5 * length)
    ]
    texts = [problem.message for problem in problems]
    assert 'cannot be read' in texts[0]
    assert 'not a number' in texts[1]
    assert 'too large for eV/atom' in texts[2]
    assert 'identifier is empty' in texts[3]
    assert 'expected 5 columns' in texts[4]


def test_truncated_file_keeps_what_came_before(read, write_csv, rows, tmp_path):
    table = [{**row, 'material_id': f'mp-{index}'} for index, row in enumerate(rows(1) * 60)]
    content = write_csv(table, 'whole.csv.gz').read_bytes()
    cut = tmp_path / 'cut.csv.gz'
    cut.write_bytes(content[: len(content) // 2])
    entries, problems = read(cut)
    assert 0 < len(entries) < 60
    assert 'truncated' in problems[-1].message


def test_several_fidelities_in_columns(read, write_csv, rows):
    table = [{**row, 'formation_energy_per_atom_hse06': -0.6, 'total_energy:CCSD(T)': -200.0} for row in rows(1)]
    entries, _ = read(write_csv(table))
    assert entries[0].energies == (
        (Fidelity.PBE, None, -0.5),
        (Fidelity.HSE06, None, -0.6),
        (Fidelity.CCSD_T, -200.0, None),
    )


def test_several_fidelities_in_rows(read, write_csv, rows):
    first, second = rows(2)
    table = [
        {**first, 'fidelity': 'PBE'},
        {**first, 'cif': '', 'fidelity': 'scan', 'formation_energy_per_atom': -0.55},
        {**second, 'fidelity': 'PBE'},
    ]
    entries, problems = read(write_csv(table))
    assert not problems
    assert [energy.fidelity for energy in entries[0].energies] == [Fidelity.PBE, Fidelity.SCAN]
    assert len(entries[1].energies) == 1


def test_contradictory_energies_are_refused(read, write_csv, rows):
    table = [{**row, 'energy_per_atom': -3.0, 'total_energy': -20.0} for row in rows(1)]
    _, problems = read(write_csv(table))
    assert 'two values' in problems[0].message


def test_named_energy_column(read, write_csv, rows):
    table = [{'id': row['material_id'], 'cif': row['cif'], 'heat_all': 0.1} for row in rows(1)]
    entries, _ = read(write_csv(table), energies={'heat_all': 'formation_energy_per_atom:SCAN'})
    assert entries[0].energies == ((Fidelity.SCAN, None, 0.1),)


def test_folder_of_cif_files(read, tmp_path):
    folder = tmp_path / 'oqmd'
    folder.mkdir()
    for name in ('oqmd_oqmd-1', 'oqmd_oqmd-2', 'stray'):
        (folder / f'{name}.cif').write_text(rock_salt().to(fmt='cif'))
    (folder / 'metadata.csv').write_text('material_id,energy_per_atom\noqmd-1,-3.0\noqmd-2,-3.1\noqmd-9,-3.2\n')
    packed, again = tmp_path / 'packed.zip', tmp_path / 'again.zip'
    pack_folder(folder, packed)
    pack_folder(folder, again)
    assert packed.read_bytes() == again.read_bytes()
    archive = tmp_path / 'oqmd.tar.gz'
    with tarfile.open(archive, 'w:gz') as tar:
        tar.add(folder, 'oqmd')
    for path in (packed, archive):
        entries, problems = read(path)
        assert [entry.identifier for entry in entries] == ['oqmd-1', 'oqmd-2']
        assert entries[1].energies[0].total_energy == pytest.approx(-24.8)
        assert [problem.message.split()[0] for problem in problems] == ['no', 'there']
        assert 'oqmd-9' in problems[1].message


def test_extxyz_goes_on_behind_a_broken_frame(read, tmp_path):
    path = tmp_path / 'frames.xyz'
    atoms = AseAtomsAdaptor.get_atoms(rock_salt())
    atoms.info.update(energy_per_atom=-3.0, material_id='a')
    write(path, atoms, format='extxyz')
    text = path.read_text()
    broken = '\n'.join(text.splitlines()[:5]) + '\n'
    path.write_text(text + broken + text.replace('material_id=a', 'material_id=b'))
    entries, problems = read(path)
    assert entries[0].identifier == 'a'
    assert problems and problems[0].place.startswith('line 11')


def test_json_of_pymatgen_entries(read, write_json):
    entry = ComputedStructureEntry(rock_salt(), -24.0, correction=-1.0, entry_id='mp-1', data={'band_gap': 3.0})
    path = write_json([entry.as_dict(), {'energy': 1.0}, {**entry.as_dict(), 'entry_id': 'mp-2'}])
    entries, problems = read(path)
    assert [item.identifier for item in entries] == ['mp-1', 'mp-2']
    assert entries[0].energies == ((Fidelity.PBE, -25.0, None),)
    assert entries[0].properties['band_gap'] == 3.0
    assert problems[0].place.startswith('line ')
    assert 'no `structure`' in problems[0].message


def test_json_lines(read, tmp_path):
    path = tmp_path / 'entries.jsonl.gz'
    entry = ComputedStructureEntry(rock_salt(), -24.0, entry_id='mp-1').as_dict()
    path.write_bytes(gzip.compress(f'{json.dumps(entry)}\n{{"cut": \n'.encode()))
    entries, problems = read(path)
    assert len(entries) == 1
    assert problems[0].place == 'line 2'


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=8), st.integers(1, 40))
def test_a_streamed_list_is_the_list(content, chunk):
    records = list(read_items(io.StringIO(json.dumps(content, indent=1)), chunk))
    assert [record.content for record in records] == content


def test_disordered_and_flat_structures_are_left_out(read, write_csv, rows):
    table = rows(2)
    table[0]['cif'] = table[0]['cif'].replace('  1\n', '  0.5\n')
    _, problems = read(write_csv(table))
    assert len(problems) == 1
    assert 'partial occupancies' in problems[0].message or 'cannot be read' in problems[0].message


@pytest.mark.parametrize('name', ['data.xlsx', 'data', 'data.gz'])
def test_unknown_format(tmp_path, name):
    with pytest.raises(InvalidInputError, match='known are'):
        detect_format(tmp_path / name)


def test_table_without_structures_names_its_columns(read, tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text('a,b\n1,2\n')
    with pytest.raises(InvalidInputError, match=r"only 'a', 'b'"):
        read(path)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('energy', ('total_energy', Fidelity.PBE)),
        ('energy_per_atom_SCAN', ('energy_per_atom', Fidelity.SCAN)),
        ('formation_energy_per_atom:ccsd(t)', ('formation_energy_per_atom', Fidelity.CCSD_T)),
        ('energy_above_hull', None),
        ('energy_type', None),
    ],
)
def test_meaning_of_a_column(settings, name, expected):
    assert energy_column(name, settings()) == expected


@pytest.mark.parametrize(
    'changes',
    [{'database': 'My DB'}, {'license': ''}, {'unknown': 1}, {'fidelity': 'B3LYP'}, {'energies': {'a': 'energy'}}],
)
def test_wrong_settings(changes):
    good = {'database': 'mp', 'version': '1', 'license': 'CC-BY-4.0', 'format': 'csv'}
    with pytest.raises(InvalidInputError):
        make_settings(**{**good, **changes})
