"""Imports as processes: provenance, repetition, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed
from aiida.common.links import LinkType

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import databases, find_database
from aiida_qagenai.databases.sources.importer import WHERE, import_file, import_files, this_process
from tests.databases.conftest import rock_salt
from tests.fixtures.cif_texts import cif_text


@pytest.fixture(autouse=True)
def profile(aiida_profile_clean):
    """Use an empty profile."""


def count(cls) -> int:
    return orm.QueryBuilder().append(cls, subclassing=False).count()


def test_entries_are_nodes_with_provenance(write_csv, rows, settings):
    report = import_files([write_csv(rows(3))], [settings(url='https://example.org', level='PBE+U')])[0]
    assert (report.records, report.imported, report.energies) == (3, 3, {'PBE': 3})
    entry = orm.QueryBuilder().append(EntryData, filters={'attributes.identifier': 'mp-1'}).first(flat=True)
    assert entry.creator.process_label == 'import_entries'
    assert entry.creator.is_finished_ok and entry.creator.is_sealed
    assert entry.source['license'] == 'CC-BY-4.0'
    assert len(entry.base.attributes.get('sha256')) == 64
    energy = orm.QueryBuilder().append(EnergyData, filters={'attributes.structure_uuid': entry.uuid}).first(flat=True)
    assert energy.content.level_tag == 'mp:PBE:PBE+U'
    assert energy.creator == entry.creator
    assert energy.base.links.get_incoming().one().link_label == 'energies__e0000001pbe'
    assert entry.get_pymatgen().composition.reduced_formula == 'LiH'


def test_an_entry_equals_the_structure_aiida_would_make(write_csv, rows, settings):
    import_files([write_csv(rows(1))], [settings()])
    entry = orm.QueryBuilder().append(EntryData).first(flat=True)
    plain = orm.StructureData(pymatgen=entry.get_pymatgen())
    plain.store()
    for name in ('kinds', 'sites', 'cell', 'pbc1', 'pbc2', 'pbc3'):
        ours, theirs = entry.base.attributes.get(name), plain.base.attributes.get(name)
        assert _canonical(ours) == _canonical(theirs)
    assert entry.base.caching.get_hash() == entry.base.caching.compute_hash()


def _canonical(value):
    return sorted(json.dumps(item, sort_keys=True) for item in value) if isinstance(value, list) else value


def test_importing_twice_adds_nothing(write_csv, rows, settings):
    path = write_csv(rows(3))
    first = import_files([path], [settings()])[0]
    nodes = count(orm.Node), orm.QueryBuilder().append(orm.Node).count()
    again = import_files([path], [settings()])[0]
    assert (count(orm.Node), orm.QueryBuilder().append(orm.Node).count()) == nodes
    assert (again.repeated, again.imported, again.known, again.pk) == (True, 0, 3, first.pk)


def test_a_closed_version_stays_as_it_is(write_csv, rows, settings):
    import_files([write_csv(rows(2))], [settings()])
    with pytest.raises(InvalidInputError, match='another version'):
        import_files([write_csv(rows(3), 'longer.csv')], [settings()])
    with pytest.raises(InvalidInputError, match='another `level'):
        import_files([write_csv(rows(2))], [settings(level='other')])
    group = find_database('mp', '1')
    for change in (group.clear, lambda: group.add_nodes([]), lambda: group.remove_nodes([])):
        with pytest.raises(ModificationNotAllowed):
            change()
    report = import_files([write_csv(rows(3), 'longer.csv')], [settings(version='2')])[0]
    assert report.imported == 3
    table = databases()[['version', 'entries', 'energies', 'complete']]
    assert table.values.tolist() == [['1', 2, 2, True], ['2', 3, 3, True]]


def test_path_relative_to_the_working_directory(write_csv, rows, settings, monkeypatch, tmp_path):
    path = write_csv(rows(2))
    monkeypatch.chdir(tmp_path)
    assert import_files([path.relative_to(tmp_path)], [settings()])[0].imported == 2


def test_a_file_that_is_no_table_leaves_no_database(tmp_path, settings):
    path = tmp_path / 'table.csv'
    path.write_text('a,b\n1,2\n')
    with pytest.raises(InvalidInputError, match='no column `cif`'):
        import_files([path], [settings()])
    assert find_database('mp', '1') is None
    assert orm.QueryBuilder().append(orm.Node).count() == 0


def test_a_version_of_which_nothing_can_be_imported_may_be_tried_again(write_csv, rows, settings):
    table = rows(2)
    for row in table:
        row['heat'] = 'abc'
    path = write_csv(table)
    report = import_files([path], [settings(energies={'heat': 'energy_per_atom'})])[0]
    assert (report.imported, report.malformed) == (0, 2)
    assert find_database('mp', '1') is None
    assert import_files([path], [settings()])[0].imported == 2
    assert find_database('mp', '1').is_complete


def test_several_files_are_one_version(write_csv, rows, settings):
    table = rows(4)
    paths = [write_csv(table[:2], 'a.csv'), write_csv(table[1:], 'b.csv')]
    reports = import_files(paths, [settings()] * 2)
    assert [(report.imported, report.known) for report in reports] == [(2, 0), (2, 1)]


def test_repeated_identifier_is_reported(write_csv, rows, settings):
    table = rows(3)
    table[2]['material_id'] = 'mp-0'
    report = import_files([write_csv(table)], [settings()])[0]
    assert report.imported == 2
    assert 'came before' in report.problems[0].message


def test_what_changed_within_a_version_is_reported(write_csv, rows, settings):
    table = rows(2)
    first = write_csv(table, 'a.csv')
    table[1]['band_gap'] = 9.0
    reports = import_files([first, write_csv(table, 'b.csv')], [settings()] * 2)
    assert reports[1].problems[0].identifier == 'mp-1'
    assert 'differs' in reports[1].problems[0].message


def test_workers_change_nothing(write_csv, rows, settings):
    path = write_csv(rows(5))
    import_files([path], [settings()], workers=0)
    import_files([path], [settings(version='2')], workers=1)
    hashes = {}
    for version in '12':
        builder = orm.QueryBuilder().append(EntryData, filters={'attributes.version': version}, tag='entry')
        builder.add_projection('entry', ['attributes.identifier', 'attributes.sha256', 'attributes.sites'])
        hashes[version] = sorted(builder.all(), key=str)
    assert hashes['1'] == hashes['2']


def test_an_interrupted_import_goes_on(write_csv, rows, settings, monkeypatch):
    from aiida_qagenai.databases.sources import importer

    monkeypatch.setattr(importer, 'CHUNK_SIZE', 4)
    path = write_csv(rows(8))
    stored = []

    def dying(node, nodes):
        if len(stored) == 2:
            raise SystemExit('killed')  # not caught by the engine as an ordinary error is
        result = store(node, nodes)
        stored.append(len(nodes))
        return result

    store = importer.insert_outputs
    monkeypatch.setattr(importer, 'insert_outputs', dying)
    with pytest.raises(SystemExit):
        import_file(path, settings())
    assert count(EntryData) == 4
    monkeypatch.setattr(importer, 'insert_outputs', store)
    report = import_files([path], [settings()])[0]
    assert (report.imported, report.known) == (4, 4)
    assert count(EntryData) == count(EnergyData) == 8
    assert orm.QueryBuilder().append(orm.SinglefileData).count() == 1
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode)
    assert all(node.is_sealed and node.is_terminated for node in builder.all(flat=True))
    group = find_database('mp', '1')
    assert group.count() == 16


KILLED = """
import os, signal, sys
from pathlib import Path
from aiida import load_profile
load_profile()
from aiida_qagenai.databases.sources import importer
from aiida_qagenai.databases.sources.settings import make_settings
importer.CHUNK_SIZE = 4
store = importer.insert_outputs
calls = []
def dying(node, nodes):
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(1)
    return store(node, nodes)
importer.insert_outputs = dying
settings = make_settings(database='mp', version='1', license='CC-BY-4.0', format='csv')
importer.import_file(Path(sys.argv[1]), settings)
"""


@pytest.mark.slow
def test_a_killed_import_goes_on(new_machine, write_csv, rows):
    """The same with SIGKILL, in a process and a profile of its own, and with the command."""
    machine = new_machine('killed-import')
    path = write_csv(rows(8))
    script = [sys.executable, '-c', KILLED, str(path)]
    killed = subprocess.run(script, env=machine.environment, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    command = ['aiida-qagenai', 'dataset', 'import', str(path), '--database', 'mp', '--version', '1']
    output = machine.run(*command, '--license', 'CC-BY-4.0')
    assert '4 imported with 4 PBE energies, 4 known already' in output
    listed = json.loads(machine.run('aiida-qagenai', 'dataset', 'list', '--format', 'json'))
    assert [(row['entries'], row['energies'], row['complete']) for row in listed] == [(8, 8, True)]


def test_a_running_import_is_left_alone(write_csv, rows, settings):
    first = write_csv(rows(1), 'first.csv')
    import_file(first, settings())
    node = orm.CalcFunctionNode()
    node.base.attributes.set('process_label', 'import_entries')
    node.base.links.add_incoming(orm.Dict({'database': 'mp', 'version': '1'}).store(), LinkType.INPUT_CALC, 'settings')
    node.store()
    node.base.extras.set(
        WHERE, {**this_process(), 'pid': os.getppid(), 'started': psutil.Process(os.getppid()).create_time()}
    )
    with pytest.raises(InvalidInputError, match='imports into'):
        import_file(write_csv(rows(2), 'second.csv'), settings())


def test_a_folder_of_good_and_bad_files_of_every_format(tmp_path, settings):
    folder = tmp_path / 'mixed'
    folder.mkdir()
    salt = 'Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5'
    entry = {'energy': -6.2, 'data': {'mat_id': 'agm1', 'e_form': -0.4}, 'structure': rock_salt().as_dict()}
    files = {
        'good.cif': cif_text(salt, formula='Cl Na', z=1),
        'journal.cif': 'data_global\n_journal_name_full Acta\n' + cif_text(salt),
        'hydroxide.cif': cif_text('Mg1 Mg 0 0 0\nO1 O 0.5 0.5 0.5\nO2 O 0.5 0.5 0', formula='H2 Mg O2'),
        'units.cif': cif_text(salt, formula='Cl Na', z=4),
        'origin.cif': cif_text('Si1 Si 0 0 0', (5.43, 5.43, 5.43, 90, 90, 90), symbol='F d -3 m'),
        'old.vasp': 'salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n',
        'new.vasp': 'salt\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa_pv Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n',
        'alexandria.json': json.dumps({'entries': [entry]}),
        'options.json': '{"protocol": "fast"}',
        'phases.csv': 'identifier,formula,formation_energy_per_atom\n0,Li2O,-2.0\n',
        'table.csv': 'id,icsd_code,task,pretty_formula,cif\nc-1,012345,12e5,NaCl,"' + cif_text(salt) + '"\n',
        'notes.txt': 'not read',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    [report] = import_files([folder], [settings(format='cif')])
    reasons = {problem.place.split(',')[0]: problem.message for problem in report.problems}
    assert report.imported == 5
    assert {name: bool(reasons.pop(name)) for name in sorted(reasons)} == dict.fromkeys(
        ['hydroxide.cif', 'old.vasp', 'options.json', 'origin.cif', 'phases.csv', 'units.cif'], True
    )
    messages = ' '.join(problem.message for problem in report.problems)
    for text in (
        'no H atom is located',
        'no element symbols',
        'no `structure`',
        'its setting',
        'no column `cif`',
        'Z = 4',
    ):
        assert text in messages
    entries = {node.name: node for node in orm.QueryBuilder().append(EntryData).all(flat=True)}
    assert set(entries) == {'good', 'journal', 'new', 'agm1', 'c-1'}
    kept = entries['c-1'].base.attributes.get('properties')
    assert kept == {'icsd_code': '012345', 'task': '12e5', 'pretty_formula': 'NaCl'}
    assert 'names no symmetry' in entries['good'].base.attributes.get('warnings')[0]
    energies = orm.QueryBuilder().append(EnergyData).all(flat=True)
    assert {energy.base.attributes.get('total_energy') for energy in energies} == {-6.2}
    assert energies[0].base.attributes.get('formation_energy_per_atom') == -0.4
