"""OPTIMADE both ways: our nodes behind a real server on loopback, read by the real client."""

from __future__ import annotations

import itertools
import json
import threading
import time

import pytest
import requests
from aiida import orm
from click.testing import CliRunner

from aiida_qagenai.cli import main
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.sources.importer import import_files
from aiida_qagenai.databases.sources.optimade import download

pytest.importorskip('optimade.client')
uvicorn = pytest.importorskip('uvicorn')

N = 23


@pytest.fixture(scope='module')
def filled(aiida_profile, tmp_path_factory):
    """Fill the profile with a small database."""
    import csv

    from pymatgen.core import Lattice, Structure

    from aiida_qagenai.databases.sources.settings import make_settings

    aiida_profile.reset_storage()
    path = tmp_path_factory.mktemp('optimade') / 'table.csv'
    with path.open('w', newline='') as handle:
        names = ['material_id', 'cif', 'formation_energy_per_atom', 'formation_energy_per_atom_scan', 'theoretical']
        writer = csv.DictWriter(handle, names)
        writer.writeheader()
        for index in range(N):
            other = 'H' if index % 2 else 'F'
            structure = Structure(Lattice.cubic(2.5 + 0.01 * index), ['Li', other], [[0, 0, 0], [0.5, 0.5, 0.5]])
            writer.writerow(
                dict(zip(names, [f'mp-{index}', structure.to(fmt='cif'), -0.01 * index, -0.3, index == 0], strict=True))
            )
    import_files([path], [make_settings(database='mp', version='1', license='CC-BY-4.0', format='csv')])


class Loopback:
    """A server in a thread, which can be told to fail."""

    def __init__(self) -> None:
        from starlette.responses import JSONResponse, Response

        from aiida_qagenai.databases.server.app import create_server

        self.failures: list[int] = []
        self.seen: list[str] = []
        self.uncounted = False
        app = create_server()

        @app.middleware('http')
        async def fail(request, call_next):
            if request.url.path.endswith('/structures') and 'info' not in request.url.path:
                self.seen.append(str(request.url))
                if self.failures:
                    status = self.failures.pop(0)
                    if status != 200:
                        return Response(status_code=status, headers={'Retry-After': '0'})
            response = await call_next(request)
            if not self.uncounted:
                return response
            content = json.loads(b''.join([part async for part in response.body_iterator]))
            for name in ('data_available', 'data_returned'):
                content['meta'].pop(name)
            return JSONResponse(content)

        self.server = uvicorn.Server(uvicorn.Config(app, host='127.0.0.1', port=0, log_level='error'))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 30
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f'http://127.0.0.1:{port}'

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope='module')
def loopback(filled):
    """Return a server over the profile."""
    server = Loopback()
    yield server
    server.stop()


@pytest.fixture
def origin(settings):
    """Return a factory of settings of an import by OPTIMADE."""
    counter = itertools.count()

    def create(**changes):
        return settings(database=f'loop{next(counter)}-{time.time_ns()}', format='optimade', **changes)

    return create


def test_filters_over_structures_and_energies(loopback):
    query = 'chemical_formula_reduced="HLi" AND _qagenai_formation_energy_per_atom_pbe<-0.1'
    answer = requests.get(f'{loopback.url}/v1/structures', params={'filter': query}, timeout=30).json()
    assert 'data' in answer, answer
    names = {item['attributes']['_qagenai_name'] for item in answer['data']}
    assert names == {f'mp-{index}' for index in range(11, N, 2)}
    first = answer['data'][0]['attributes']
    assert first['elements'] == ['H', 'Li']
    assert first['nsites'] == 2
    assert first['_qagenai_license'] == 'CC-BY-4.0'
    assert first['_qagenai_formation_energy_per_atom_scan'] == pytest.approx(-0.3)


def test_the_validator_of_optimade_python_tools_passes(loopback):
    from optimade.validator import ImplementationValidator

    validator = ImplementationValidator(base_url=loopback.url, run_optional_tests=False, verbosity=-1)
    validator.validate_implementation()
    assert validator.valid, validator.results.failure_messages
    assert validator.results.success_count > 40


def test_nothing_can_be_changed(loopback):
    for method in (requests.post, requests.put, requests.delete, requests.patch):
        assert method(f'{loopback.url}/v1/structures', timeout=30).status_code == 405


def test_round_trip_through_pages(loopback, origin, tmp_path):
    settings = origin()
    before = orm.QueryBuilder().append(EntryData, subclassing=False).count()
    staging = download(loopback.url, settings, tmp_path, query='_qagenai_database="mp"', page_limit=10)
    assert staging.records == N
    report = import_files([staging.path], [settings])[0]
    assert (report.imported, report.malformed, report.energies) == (N, 0, {'PBE': N, 'SCAN': N})
    assert orm.QueryBuilder().append(EntryData, subclassing=False).count() == before + N
    builder = orm.QueryBuilder().append(EntryData, filters={'attributes.database': settings.database}, project='*')
    copy = next(node for (node,) in builder.iterall() if node.base.attributes.get('experimental') is False)
    original = orm.load_node(copy.name)
    assert original.name == 'mp-0'
    assert copy.get_pymatgen() == original.get_pymatgen()
    filters = {'attributes.structure_uuid': copy.uuid, 'attributes.fidelity': 'SCAN'}
    energy = orm.QueryBuilder().append(EnergyData, filters=filters).first(flat=True)
    assert energy.formation_energy_per_atom == pytest.approx(-0.3)
    # what came in is served too, without a restart
    time.sleep(2.1)
    query = f'_qagenai_database="{settings.database}"'
    answer = requests.get(f'{loopback.url}/v1/structures', params={'filter': query}, timeout=60).json()
    assert answer['meta']['data_returned'] == N


def test_a_busy_server_is_asked_again(loopback, origin, tmp_path, monkeypatch):
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.BACKOFF', 0.01)
    loopback.failures[:] = [429, 200, 503, 502, 200]
    loopback.seen.clear()
    staging = download(loopback.url, origin(), tmp_path, query='_qagenai_database="mp"', page_limit=10)
    assert staging.records == N
    assert len(loopback.seen) == 6


def test_an_interrupted_download_goes_on_with_the_next_page(loopback, origin, tmp_path, monkeypatch):
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.BACKOFF', 0.01)
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.RETRIES', 1)
    settings = origin()
    loopback.failures[:] = [200, 503, 503, 503]
    with pytest.raises(InvalidInputError, match='stopped after 10 structures'):
        download(loopback.url, settings, tmp_path, query='_qagenai_database="mp"', page_limit=10)
    loopback.failures.clear()
    loopback.seen.clear()
    staging = download(loopback.url, settings, tmp_path, query='_qagenai_database="mp"', page_limit=10)
    assert staging.records == N
    assert len(loopback.seen) == 2
    lines = staging.path.read_text().splitlines()
    assert len(set(lines)) == N


def test_the_command(loopback, tmp_path):
    """The whole command, with the version in the address, twice."""
    command = ['dataset', 'optimade', f'{loopback.url}/v1/', '--folder', str(tmp_path), '--license', 'CC-BY-4.0']
    command += ['--filter', '_qagenai_database="mp" AND elements HAS "F"', '--database', 'command', '--version', '1']
    first = CliRunner().invoke(main, command)
    assert first.exit_code == 0, first.output
    assert '12 imported with 12 PBE, 12 SCAN energies' in first.output
    again = CliRunner().invoke(main, command)
    assert '0 imported with no energies, 12 known already' in again.output
    assert list(tmp_path.iterdir()) == []
    builder = orm.QueryBuilder().append(EntryData, filters={'attributes.database': 'command'}, project='*')
    assert builder.first(flat=True).source['uri'] == f'{loopback.url}/v1/'


def test_characters_with_a_meaning_in_addresses(loopback, origin, tmp_path):
    query = '_qagenai_database="mp" AND _qagenai_name!="#&+" AND _qagenai_formation_energy_per_atom_pbe>-1.0e+1'
    assert download(loopback.url, origin(), tmp_path, query=query).records == N


def test_nothing_matches(loopback, origin, tmp_path):
    with pytest.raises(InvalidInputError, match=r'no structure of .* matches'):
        download(loopback.url, origin(), tmp_path, query='elements HAS "Xe"')
    assert list(tmp_path.iterdir()) == []


def test_a_provider_that_does_not_count(loopback, origin, tmp_path):
    """How many structures there are is optional in answers."""
    loopback.uncounted = True
    try:
        assert download(loopback.url, origin(), tmp_path, query='_qagenai_database="mp"', page_limit=10).records == N
    finally:
        loopback.uncounted = False


def test_a_wrong_filter_is_explained_in_short(loopback, origin, tmp_path, capfd):
    with pytest.raises(InvalidInputError, match=r'stopped after 0 structures: .*elements HAS') as caught:
        download(loopback.url, origin(), tmp_path, query='elements HAS (')
    assert 'again' not in str(caught.value) and str(caught.value).count('\n') < 4
    assert 'Provider' not in ''.join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


def test_no_address(origin, tmp_path):
    with pytest.raises(InvalidInputError, match='with https://'):
        download('optimade.example.org', origin(), tmp_path)


def test_limit(loopback, origin, tmp_path):
    assert download(loopback.url, origin(), tmp_path, limit=13, page_limit=10).records == 13


def test_unknown_field_names_those_there_are(loopback, origin, tmp_path):
    with pytest.raises(InvalidInputError, match='_qagenai_formation_energy_per_atom_pbe'):
        download(loopback.url, origin(energies={'_mp_energy': 'total_energy'}), tmp_path)


def test_no_server(origin, tmp_path, monkeypatch):
    monkeypatch.setattr('aiida_qagenai.databases.sources.staging.BACKOFF', 0.01)
    with pytest.raises(InvalidInputError, match='does not answer'):
        download('http://127.0.0.1:9', origin(), tmp_path)
