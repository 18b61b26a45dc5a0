"""The Materials Project: its own client against a server on loopback that answers as the service does."""

from __future__ import annotations

import http.server
import json
import os
import threading
import urllib.parse
from importlib.util import find_spec

import pytest
from aiida import orm
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.sources import materials_project
from aiida_qagenai.databases.sources.importer import import_files
from aiida_qagenai.databases.sources.materials_project import download

# Asked for without importing it: that takes longer than to collect all tests of this folder.
pytestmark = pytest.mark.skipif(find_spec('mp_api') is None, reason='needs mp-api: pip install "aiida-qagenai[mp]"')

KEY = 'k3y0fThisTest' + 'x' * 19
N = 1203
"""More than the service gives in one answer."""

MAX_LIMIT = 1000
GNOME = 'gnome_r2scan_statics'


def material(index: int) -> dict:
    """Return a document of `materials/summary`; its formation energy is that of the mixed phase diagram."""
    structure = Structure(Lattice.cubic(2.5 + 0.001 * index), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    # the first lacks a property, as some documents do
    gap = {} if index == 0 else {'band_gap': 3.0}
    return {
        'material_id': 'mp-abcdefgh' if index == 1 else f'mp-{index}',
        'chemsys': 'H-Li',
        'elements': ['H', 'Li'],
        'structure': structure.as_dict(),
        'formation_energy_per_atom': -9.0,
        'energy_above_hull': 0.01 * index,
        'theoretical': index % 2 == 0,
        'has_props': {'materials': True, 'phonon': False},
        'nsites': 2,
        'last_updated': '2024-11-14T05:32:13.021000Z',
        'batch_id': GNOME if index == 2 else None,
        **gap,
    }


def matches(document: dict, query: dict[str, str]) -> bool:
    """Return whether a document is what a query asks for."""
    return (
        ('material_ids' not in query or document['material_id'] in query['material_ids'].split(','))
        and ('chemsys' not in query or document['chemsys'] == query['chemsys'])
        and ('batch_id_not_eq' not in query or document['batch_id'] != query['batch_id_not_eq'])
        and document['energy_above_hull'] <= float(query.get('energy_above_hull_max', 'inf'))
    )


class Service(http.server.ThreadingHTTPServer):
    """Answers of the API: heartbeat, summary and thermo, with its paging, statuses and errors."""

    def __init__(self, size: int = 7) -> None:
        self.materials = [material(index) for index in range(size)]
        self.failures: list[int] = []
        self.heartbeat: tuple[int, bytes] | None = None
        self.seen: list[tuple[str, dict[str, str]]] = []
        super().__init__(('127.0.0.1', 0), Answer)
        self.url = f'http://127.0.0.1:{self.server_port}/'

    def thermo(self) -> list[dict]:
        """Return the documents of `materials/thermo`: three per material, but one without a GGA calculation."""
        kinds = (('GGA_GGA+U', -0.5), ('GGA_GGA+U_R2SCAN', -9.0), ('R2SCAN', -8.0))
        return [
            {
                'material_id': document['material_id'],
                'thermo_type': kind,
                'formation_energy_per_atom': energy,
                'energy_above_hull': 0.0,
            }
            for index, document in enumerate(self.materials)
            for kind, energy in kinds
            if not (index == 3 and kind == 'GGA_GGA+U')
        ]


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = 'HTTP/1.1'
    server: Service

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def do_GET(self) -> None:
        """Answer."""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.server.seen.append((url.path, query))
        if url.path == '/heartbeat':
            self.heartbeat()
        elif self.headers.get('x-api-key') != KEY:
            self.send(401, {'message': f'Invalid authentication credentials {self.headers.get("x-api-key")}'})
        elif self.server.failures and (status := self.server.failures.pop(0)) != 200:
            self.send(status, {'message': 'API rate limit exceeded'} if status == 429 else {'detail': 'broken'})
        elif url.path == '/materials/summary/':
            self.documents(self.server.materials, query)
        elif url.path == '/materials/thermo/':
            kinds = query['thermo_types'].split(',')
            self.documents([document for document in self.server.thermo() if document['thermo_type'] in kinds], query)
        else:
            self.send(404, {'message': 'no Route matched with those values'})

    def heartbeat(self) -> None:
        """Answer with versions; no key is asked for."""
        if self.server.heartbeat is not None:
            status, body = self.server.heartbeat
            self.send_bytes(status, body)
            return
        versions = {'version': '0.87.3', 'db_version': '2026.11.01', 'access_controlled_batch_ids': [GNOME]}
        self.send(200, {'status': 'OK', 'time': '2026-11-25T00:00:00', **versions})

    def documents(self, documents: list[dict], query: dict[str, str]) -> None:
        """Answer with a page of documents."""
        wanted = [document for document in documents if matches(document, query)]
        fields = query['_fields'].split(',')
        start = int(query.get('_skip', 0))
        page = wanted[start : start + min(int(query['_limit']), MAX_LIMIT)]
        data = [{name: document[name] for name in fields if name in document} for document in page]
        self.send(200, {'data': data, 'meta': {'total_doc': len(wanted), 'max_limit': MAX_LIMIT}})

    def send(self, status: int, content: dict) -> None:
        """Send JSON."""
        self.send_bytes(status, json.dumps(content).encode())

    def send_bytes(self, status: int, body: bytes) -> None:
        """Send a body."""
        self.send_response(status)
        if status == 429:
            self.send_header('Retry-After', '0')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def new_service(monkeypatch):
    """Return a factory of services; the client is pointed at the last."""
    from mp_api.client import MPRester
    from mp_api.client.core.client import BaseRester
    from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS

    # The client remembers the answers of an address, which a later service may get again.
    for remembered in (BaseRester._get_heartbeat_info, MPRester.get_emmet_version):
        remembered.cache_clear()
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.BACKOFF', 0.01)
    monkeypatch.setenv('MP_API_KEY', KEY)
    services = []

    def create(size: int = 7) -> Service:
        service = Service(size)
        threading.Thread(target=service.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
        services.append(service)
        monkeypatch.setattr(MAPI_CLIENT_SETTINGS, 'ENDPOINT', service.url)
        return service

    yield create
    for service in services:
        service.shutdown()
        service.server_close()


def fetch(folder, **query):
    """Download the chemical system of the service."""
    return download(folder, database='mp', query={'chemsys': 'H-Li', **query})


def records(staging) -> dict[str, dict]:
    """Return the downloaded records by identifier."""
    found = [json.loads(line) for line in staging.path.read_text().splitlines()]
    return {record['material_id']: record for record in found}


def test_materials_come_in_pages(new_service, tmp_path):
    service = new_service(N)
    staging, version = fetch(tmp_path)
    assert version == '2026.11.01'
    assert len(records(staging)) == staging.records == N - 1
    first = [query for path, query in service.seen if path == '/materials/summary/' and 'material_ids' not in query]
    assert [(int(query.get('_skip', 0)), query['_fields']) for query in first] == [
        (0, 'material_id'),
        (MAX_LIMIT, 'material_id'),
    ]


def test_energies_are_pbe_and_not_of_the_mixed_phase_diagram(new_service, tmp_path):
    new_service()
    found = records(fetch(tmp_path)[0])
    assert found['mp-4']['formation_energy_per_atom'] == -0.5
    assert found['mp-4']['energy_above_hull'] == 0.0
    assert 'formation_energy_per_atom' not in found['mp-3']
    assert found['mp-3']['structure']['sites']


def test_what_has_another_licence_is_left_out(new_service, tmp_path):
    new_service()
    assert 'mp-2' not in records(fetch(tmp_path)[0])


def test_what_the_first_document_lacks_is_kept_of_the_others(new_service, tmp_path):
    new_service()
    found = records(fetch(tmp_path)[0])
    assert 'band_gap' not in found['mp-0']
    assert found['mp-4']['band_gap'] == 3.0
    assert found['mp-4']['has_props'] == {'materials': True, 'phonon': False}


def test_window_of_the_hull(new_service, tmp_path):
    new_service()
    found = records(fetch(tmp_path, energy_above_hull=(0.0, 0.045))[0])
    assert sorted(found) == ['mp-0', 'mp-3', 'mp-4', 'mp-abcdefgh']


def test_import_as_nodes(new_service, tmp_path, settings, aiida_profile_clean):
    new_service()
    staging, version = fetch(tmp_path)
    origin = settings(version=version, format='json', level=materials_project.LEVEL)
    report = import_files([staging.path], [origin])[0]
    assert (report.imported, report.malformed, report.energies) == (6, 0, {'PBE': 5})
    builder = orm.QueryBuilder().append(EntryData, filters={'attributes.identifier': 'mp-abcdefgh'}, project='*')
    entry = builder.first(flat=True)
    assert entry.get_pymatgen().composition.reduced_formula == 'LiH'
    assert entry.base.attributes.get('experimental') is True
    energy = orm.QueryBuilder().append(EnergyData, filters={'attributes.structure_uuid': entry.uuid}).first(flat=True)
    assert energy.formation_energy_per_atom == -0.5
    assert energy.content.level_tag == 'mp:PBE:PBE+U, MP2020'


@pytest.mark.parametrize('status', [429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(new_service, tmp_path, status):
    service = new_service()
    service.failures[:] = [status, 200, status, status, 200]
    assert fetch(tmp_path)[0].records == 6
    assert not service.failures


def test_an_interrupted_download_goes_on(new_service, tmp_path, monkeypatch):
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.RETRIES', 1)
    monkeypatch.setattr(materials_project, 'PER_REQUEST', 2)
    service = new_service()
    service.failures[:] = [200] * 3 + [503] * 2
    with pytest.raises(InvalidInputError, match='again to go on'):
        fetch(tmp_path)
    service.seen.clear()
    staging, _ = fetch(tmp_path)
    assert list(records(staging)) == ['mp-0', 'mp-3', 'mp-4', 'mp-5', 'mp-6', 'mp-abcdefgh']
    asked = [query['material_ids'] for path, query in service.seen if path == '/materials/summary/']
    assert asked == ['mp-4,mp-5', 'mp-6,mp-abcdefgh']


def test_a_material_that_vanished_is_malformed(new_service, tmp_path, settings, aiida_profile_clean, monkeypatch):
    service = new_service()
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.RETRIES', 0)
    service.failures[:] = [200, 503]
    with pytest.raises(InvalidInputError, match='again to go on'):
        fetch(tmp_path)
    del service.materials[-1]
    staging, _ = fetch(tmp_path)
    report = import_files([staging.path], [settings(format='json')])[0]
    assert (report.imported, report.malformed) == (5, 1)


def test_nothing_matches(new_service, tmp_path):
    service = new_service()
    service.materials.clear()
    with pytest.raises(InvalidInputError, match='no material matches'):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('key', ['w' * 32, 'short'])
def test_a_wrong_key_is_named_but_not_shown(new_service, tmp_path, monkeypatch, key, caplog):
    new_service()
    monkeypatch.setenv('MP_API_KEY', key)
    with pytest.raises(InvalidInputError, match='MP_API_KEY') as caught:
        fetch(tmp_path)
    error: BaseException | None = caught.value
    while error is not None:
        assert key not in str(error) + ''.join(getattr(error, '__notes__', ()))
        error = error.__cause__
    assert key not in caplog.text
    assert not any(key in path.read_text() for path in tmp_path.rglob('*') if path.is_file())


@pytest.mark.parametrize(
    'answer', [(503, b'<html>upstream</html>'), (500, b'{"detail": "broken"}'), (403, b'blocked'), (200, b'{')]
)
def test_a_service_that_is_down(new_service, tmp_path, answer):
    new_service().heartbeat = answer
    with pytest.raises(InvalidInputError, match=r'status\.materialsproject\.org'):
        fetch(tmp_path)


@pytest.mark.slow
def test_the_command_keeps_the_key_to_itself(new_service, new_machine):
    """The whole command in a profile of its own: what it prints and all it leaves on disk is without the key."""
    service = new_service()
    machine = new_machine('materials-project', MP_API_KEY=KEY, MP_API_ENDPOINT=service.url, HOME=os.environ['HOME'])
    machine.environment['HOME'] = str(machine.folder)
    command = ['aiida-qagenai', 'dataset', 'materials-project', '--chemical-system', 'Li-H']
    output = machine.run(*command)
    assert '6 records, 6 imported with 5 PBE energies' in output
    again = machine.run(*command)
    assert '0 imported with no energies, 6 known already' in again
    listed = machine.run('aiida-qagenai', 'dataset', 'list')
    assert '2026.11.01;chemsys=H-Li' in listed
    assert KEY not in output + again + listed
    files = [path for path in machine.folder.rglob('*') if path.is_file()]
    assert any(path.name == 'database.sqlite' for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
