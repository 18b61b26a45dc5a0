"""What the server shows of a graph that changes under it."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
import requests
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools import delete_nodes
from pymatgen.core import Lattice, Structure

from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.server.resources import FIELDS, GraphResources
from aiida_qagenai.databases.sources.importer import import_files
from aiida_qagenai.queries import searches
from aiida_qagenai.queries.relaxations import PROCESS_TYPE


@pytest.fixture(autouse=True)
def profile(aiida_profile_clean):
    """Use an empty profile."""


@pytest.fixture
def make_energy():
    """Return a factory of stored energies of LiH."""

    def create(structure, fidelity: str = 'PBE', **changes) -> EnergyData:
        values = {
            'fidelity': fidelity,
            'total_energy': -20.0,
            'num_atoms': 2,
            'formation_energy_per_atom': -0.4,
            'formation_scheme': 'anchored',
            'formula': 'LiH',
            'chemical_system': 'H-Li',
            'converged': True,
            'protocol': 'mp',
            'level_tag': f'mp:{fidelity}',
            'scientific': True,
            'structure_uuid': structure.uuid,
        }
        return EnergyData(**{**values, **changes}).store()

    return create


def entries() -> dict[str, EntryData]:
    """Return the entries by identifier."""
    return {node.name: node for (node,) in orm.QueryBuilder().append(EntryData).iterall()}


def test_only_what_changed_comes_again(write_csv, rows, settings, make_energy):
    import_files([write_csv(rows(3))], [settings()])
    resources = GraphResources()
    first, anew = resources.new()
    assert ([item['name'] for item in first], anew) == (['mp-0', 'mp-1', 'mp-2'], True)
    assert resources.new() == ([], False)
    make_energy(entries()['mp-1'], 'CCSD(T)')
    changed, anew = resources.new()
    assert ([item['name'] for item in changed], anew) == (['mp-1'], False)
    assert changed[0]['formation_energy_per_atom_ccsdt'] == -0.4
    assert changed[0]['formation_energy_per_atom_pbe'] == pytest.approx(-0.499)
    assert (changed[0]['level_tag_pbe'], changed[0]['level_tag_ccsdt']) == ('mp:PBE', 'mp:CCSD(T)')


def test_what_was_deleted_is_gone(write_csv, rows, settings, make_energy):
    import_files([write_csv(rows(2))], [settings()])
    energy = make_energy(entries()['mp-1'], 'SCAN')
    resources = GraphResources()
    assert resources.new()[0][1]['formation_energy_per_atom_scan'] == -0.4
    delete_nodes([energy.pk], dry_run=False)
    changed, anew = resources.new()
    assert ([item['formation_energy_per_atom_scan'] for item in changed], anew) == ([None, None], True)


def test_energies_that_did_not_converge_are_not_shown(write_csv, rows, settings, make_energy):
    import_files([write_csv(rows(1))], [settings()])
    make_energy(entries()['mp-0'], 'HSE06', converged=False)
    item = GraphResources().new()[0][0]
    assert item['formation_energy_per_atom_hse06'] is None
    assert item['formation_energy_per_atom_pbe'] == -0.5


def test_other_crystals_with_energies_are_shown(write_csv, rows, settings, make_energy, make_structure):
    import_files([write_csv(rows(1))], [settings()])
    crystal = Structure(Lattice.cubic(2.5), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    own, without, relaxed = (orm.StructureData(pymatgen=crystal).store() for _ in range(3))
    atom = make_structure(['H'], [(0, 0, 0)]).store()
    relaxation = orm.WorkChainNode()
    relaxation.process_type = PROCESS_TYPE
    relaxation.base.links.add_incoming(entries()['mp-0'], LinkType.INPUT_WORK, 'structure')
    relaxation.store()
    relaxed.base.links.add_incoming(relaxation, LinkType.RETURN, 'relaxed')
    for structure in (own, relaxed, atom):
        make_energy(structure)
    found = {item['id']: item for item in GraphResources().new()[0]}
    assert {own.uuid, relaxed.uuid} < found.keys()
    assert not {without.uuid, atom.uuid} & found.keys()
    assert (found[own.uuid]['kind'], found[own.uuid]['name']) == ('structure', None)
    assert (found[relaxed.uuid]['kind'], found[relaxed.uuid]['name']) == ('relaxed', 'mp-0')
    assert found[own.uuid]['chemical_formula_descriptive'] == 'LiH'
    assert found[own.uuid]['formation_energy_per_atom_pbe'] == -0.4


def test_pages_keep_their_order_while_energies_are_added(write_csv, rows, settings, make_energy):
    from fastapi.testclient import TestClient

    from aiida_qagenai.databases.server.app import create_server

    import_files([write_csv(rows(4))], [settings()])
    client = TestClient(create_server())
    names = ['mp-0', 'mp-1', 'mp-2', 'mp-3']

    def shown() -> list[str]:
        content = client.get('/v1/structures').json()
        return [item['attributes']['_qagenai_name'] for item in content['data']]

    assert shown() == names
    make_energy(entries()['mp-1'], 'CCSD(T)')
    time.sleep(2.1)
    assert shown() == names
    answer = client.get('/v1/structures', params={'filter': '_qagenai_formation_energy_per_atom_ccsdt IS KNOWN'}).json()
    assert [item['attributes']['_qagenai_name'] for item in answer['data']] == ['mp-1']


def test_a_page_in_the_middle(write_csv, rows, settings):
    from fastapi.testclient import TestClient

    from aiida_qagenai.databases.server.app import create_server

    import_files([write_csv(rows(5))], [settings()])
    client = TestClient(create_server())
    wanted = {
        'sort': '_qagenai_formation_energy_per_atom_pbe',
        'filter': '_qagenai_name != "mp-4"',
        'response_fields': '_qagenai_name',
        'page_limit': 2,
    }
    answers = [client.get('/v1/structures', params={**wanted, 'page_offset': start}).json() for start in (0, 1, 2)]
    names = [[item['attributes']['_qagenai_name'] for item in answer['data']] for answer in answers]
    assert names == [['mp-0', 'mp-1'], ['mp-1', 'mp-2'], ['mp-2', 'mp-3']]
    assert [answer['meta']['more_data_available'] for answer in answers] == [True, True, False]
    assert {answer['meta']['data_returned'] for answer in answers} == {4}
    assert answers[0]['data'][0]['attributes'] == {'_qagenai_name': 'mp-0'}
    one = client.get(f'/v1/structures/{answers[0]["data"][0]["id"]}').json()['data']
    assert one['attributes']['_qagenai_name'] == 'mp-0' and one['attributes']['nsites'] == 8
    assert client.get('/v1/structures/nothing').json()['data'] is None


def test_candidates_are_found_by_what_was_predicted_and_decided():
    from fake_campaign import make_campaign
    from fastapi.testclient import TestClient

    from aiida_qagenai.databases.server.app import create_server

    make_campaign('toy')
    client = TestClient(create_server())

    def found(query: str) -> list[dict]:
        answer = client.get('/v1/structures', params={'filter': query}).json()
        return [item['attributes'] for item in answer['data']]

    selected = found('_qagenai_selected = TRUE AND _qagenai_cycle = 2')
    assert [item['_qagenai_name'] for item in selected] == ['002-00000', '002-00001']
    others = found('NOT _qagenai_selected = TRUE AND _qagenai_cycle = 2 AND _qagenai_name != "TRUE"')
    assert [item['_qagenai_name'] for item in others] == ['002-00002', '002-00003']
    assert others == found('_qagenai_selected = FALSE AND _qagenai_cycle = 2')
    table = searches.candidates('toy', cycle=2, min_divergence=0.015, max_e_above_hull=0.12)
    window = found('_qagenai_cycle = 2 AND _qagenai_divergence >= 0.015 AND _qagenai_e_above_hull <= 0.12')
    assert {item['_qagenai_name'] for item in window} == {*table['name']} != set()
    item = window[0]
    row = table[table['name'] == item['_qagenai_name']].iloc[0]
    for field in (
        'divergence',
        'divergence_sigma',
        'sigma_ccsdt',
        'e_above_hull',
        'stability',
        'hull_fidelity',
        'origin',
    ):
        assert item[f'_qagenai_{field}'] == row[field], field
    assert item['_qagenai_predicted_formation_energy_per_atom_pbe'] == row['energy_pbe']
    assert item['_qagenai_kind'] == 'candidate' and item['immutable_id'] == row['candidate_uuid']
    # the initial set was neither predicted nor assessed
    assert found('_qagenai_cycle = 0 AND _qagenai_divergence IS KNOWN') == []
    assert len(found('_qagenai_cycle = 0 AND _qagenai_selected IS UNKNOWN')) == 2


def test_a_new_prediction_changes_its_candidate():
    from batch_processes import make_candidates, make_prediction

    candidate = make_candidates(1)['candidates__c00000'].store()
    resources = GraphResources()
    assert resources.new()[0][0]['divergence'] is None
    prediction = make_prediction(candidate.uuid, 3).store()
    (changed,), anew = resources.new()
    assert (changed['divergence'], anew) == (prediction.content.divergence, False)


@pytest.mark.parametrize(
    ('query', 'status', 'text'),
    [
        ('_qagenai_divergence >', 400, 'Unable to parse filter'),
        ('_qagenai_divergenc > 0.1', 400, "'_qagenai_divergenc' is not a known or searchable quantity"),
        ('nonsense > 1', 400, 'nonsense'),
        ('elements HAS "Xx"', 200, ''),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_with_the_reason(query, status, text):
    from fastapi.testclient import TestClient

    from aiida_qagenai.databases.server.app import create_server

    answer = TestClient(create_server()).get('/v1/structures', params={'filter': query})
    assert answer.status_code == status, answer.json()
    if text:
        assert text in answer.json()['errors'][0]['detail']
    else:
        assert answer.json()['data'] == []


def test_nothing_can_be_changed_and_every_field_is_described():
    from fastapi.testclient import TestClient

    from aiida_qagenai.databases.server.app import create_server

    client = TestClient(create_server())
    assert client.post('/v1/structures', json={}).status_code == 405
    described = client.get('/v1/info/structures').json()['data']['properties']
    for field in FIELDS:
        assert described[f'_qagenai_{field["name"]}']['description'] == field['description']
        assert described[f'_qagenai_{field["name"]}'].get('unit') == field.get('unit')


@pytest.mark.slow
def test_the_command_starts_and_ends_without_noise(new_machine, write_csv, rows):
    """The command as a user sees it: one line, an answer, Ctrl-C, and nothing left behind."""
    machine = new_machine('serve')
    path = write_csv(rows(2))
    origin = ['--database', 'mp', '--version', '1', '--license', 'MIT']
    machine.run('aiida-qagenai', 'dataset', 'import', str(path), *origin)
    folder = machine.folder / 'temporary'
    folder.mkdir()
    command = ['aiida-qagenai', 'serve', '--port', '5817']
    environment = {**machine.environment, 'TMPDIR': str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        first = [process.stdout.readline(), process.stdout.readline()]
        assert first[0].startswith('reading the structures')
        assert first[1].startswith('OPTIMADE at http://127.0.0.1:5817/v1/structures')
        deadline = time.monotonic() + 20
        while True:
            try:
                answer = requests.get('http://127.0.0.1:5817/v1/structures', timeout=20).json()
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer['meta']['data_returned'] == 2
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0 and 'port 5817' in second.stderr and 'Traceback' not in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == 'ended\n'
        assert list(folder.iterdir()) == []
    finally:
        process.kill()
