"""The structures of the graph and their energies behind the OPTIMADE interface."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import math
import os
import tempfile
import time
import typing as t
import uuid
from collections import Counter
from collections.abc import Iterator
from functools import reduce

from aiida import orm
from aiida.manage import get_manager

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.provenance.tables import uuid_filter

if t.TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ('GraphResources', 'create_server')

MISSING = 'serving needs the server of OPTIMADE: pip install "aiida-qagenai[optimade]"'

PREFIX = 'qagenai'

FIELDS = [
    {'name': 'kind', 'type': 'string', 'description': 'entry of a database, or candidate of a campaign'},
    {'name': 'name', 'type': 'string', 'description': 'Identifier in the database, or name within the campaign'},
    {'name': 'database', 'type': 'string', 'description': 'Database it comes from'},
    {'name': 'database_version', 'type': 'string', 'description': 'Version of that database'},
    {'name': 'license', 'type': 'string', 'description': 'Licence of the data'},
    {'name': 'experimental', 'type': 'boolean', 'description': 'Whether the structure was measured'},
    {'name': 'space_group', 'type': 'integer', 'description': 'Space group at 0.1 Å'},
    {'name': 'protocol', 'type': 'string', 'description': 'Protocol of the energies'},
    {'name': 'scientific', 'type': 'boolean', 'description': 'Whether the energies may be used as results'},
    *(
        {
            'name': f'formation_energy_per_atom_{level.label}',
            'type': 'float',
            'unit': 'eV',
            'description': f'Formation energy per atom at {level.value}',
        }
        for level in LADDER
    ),
    *(
        {
            'name': f'total_energy_{level.label}',
            'type': 'float',
            'unit': 'eV',
            'description': f'Total energy of the cell at {level.value}',
        }
        for level in LADDER
    ),
]
"""What is served beside the fields of the standard, as ``_qagenai_<name>``."""

STALE_AFTER = 2.0
"""Seconds for which an answer may lack what was stored meanwhile."""


class GraphResources:
    """The structures of the loaded profile as resources of OPTIMADE, read in one thread of its own."""

    def __init__(self) -> None:
        # One thread, because a connection to SQLite belongs to the thread that made it.
        self._reader = concurrent.futures.ThreadPoolExecutor(1)
        self._known: set[str] = set()
        self._energies = -1

    def new(self) -> tuple[list[dict[str, t.Any]], bool]:
        """Return the resources that changed since the last call, and whether all of them come anew."""
        return self._reader.submit(self._new).result()

    def _new(self) -> tuple[list[dict[str, t.Any]], bool]:
        # Without this the thread would go on to see the database as at its first query.
        get_manager().get_profile_storage().get_session().rollback()
        # New energies belong to structures that are known already: then everything is read again.
        energies = orm.QueryBuilder().append(EnergyData, subclassing=False).count()
        anew = energies != self._energies
        if anew:
            self._known = set()
        resources = [item for cls in (EntryData, CandidateData) for item in self._structures(cls)]
        self._energies = energies
        return resources, anew

    def _structures(self, cls: type[orm.Data]) -> Iterator[dict[str, t.Any]]:
        builder = orm.QueryBuilder().append(cls, project='uuid', subclassing=False)
        wanted = [name for name in builder.all(flat=True) if name not in self._known]
        if not wanted:
            return
        energies = _energies(wanted)
        builder = orm.QueryBuilder().append(
            cls, filters=uuid_filter('uuid', wanted), project=['uuid', 'mtime', 'attributes'], subclassing=False
        )
        for name, changed, attributes in builder.iterall():
            if name not in self._known:
                self._known.add(name)
                yield make_resource(name, changed, attributes, energies.get(name, {}))


def make_resource(
    identifier: str, changed: datetime.datetime, attributes: dict[str, t.Any], energies: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Return a structure as a resource of OPTIMADE, flat as its collections keep it.

    :param attributes: of an ``EntryData`` or a ``CandidateData``.
    :param energies: values of :data:`FIELDS`.
    """
    symbols = [site['kind_name'] for site in attributes['sites']]
    elements = {kind['name']: kind['symbols'][0] for kind in attributes['kinds']}
    counts = Counter(elements[symbol] for symbol in symbols)
    names = sorted(counts)
    divisor = reduce(math.gcd, counts.values())
    amounts = {name: counts[name] // divisor for name in names}
    source = attributes.get('source') or {}
    entry = 'database' in attributes
    return {
        'id': identifier,
        'type': 'structures',
        'immutable_id': identifier,
        'last_modified': changed,
        'elements': names,
        'nelements': len(names),
        'elements_ratios': [counts[name] / len(symbols) for name in names],
        'chemical_formula_descriptive': attributes['formula'],
        'chemical_formula_reduced': _formula(amounts, names),
        'chemical_formula_hill': _formula(counts, _hill_order(names)),
        'chemical_formula_anonymous': _anonymous(sorted(amounts.values(), reverse=True)),
        'dimension_types': [1, 1, 1],
        'nperiodic_dimensions': 3,
        'lattice_vectors': attributes['cell'],
        'cartesian_site_positions': [site['position'] for site in attributes['sites']],
        'nsites': len(symbols),
        'species': [
            {'name': name, 'chemical_symbols': [symbol], 'concentration': [1.0]} for name, symbol in elements.items()
        ],
        'species_at_sites': symbols,
        'structure_features': [],
        'kind': 'entry' if entry else 'candidate',
        'name': attributes['identifier'] if entry else candidate_name(attributes['cycle'], attributes['index']),
        'database': attributes.get('database'),
        'database_version': attributes.get('version'),
        'license': source.get('license'),
        'experimental': attributes.get('experimental'),
        'space_group': attributes['space_group_number'] or None,
        **{field['name']: None for field in FIELDS[7:]},
        **energies,
    }


def _formula(amounts: t.Mapping[str, int], order: list[str]) -> str:
    return ''.join(f'{name}{amounts[name] if amounts[name] > 1 else ""}' for name in order)


def _hill_order(names: list[str]) -> list[str]:
    """Return carbon first, then hydrogen, then the rest, where there is carbon."""
    return sorted(names, key=lambda name: ({'C': 0, 'H': 1}.get(name, 2) if 'C' in names else 2, name))


def _anonymous(amounts: list[int]) -> str:
    letters = [chr(65 + index % 26) + (chr(96 + index // 26) if index >= 26 else '') for index in range(len(amounts))]
    return ''.join(f'{letter}{amount if amount > 1 else ""}' for letter, amount in zip(letters, amounts, strict=True))


def _energies(uuids: list[str]) -> dict[str, dict[str, t.Any]]:
    """Return structure → its energies, of one protocol: the scientific one with most fidelities."""
    names = ('structure_uuid', 'protocol', 'scientific', 'fidelity', 'formation_energy_per_atom', 'total_energy')
    builder = orm.QueryBuilder().append(
        EnergyData,
        filters=uuid_filter('attributes.structure_uuid', uuids),
        project=[f'attributes.{name}' for name in names],
        subclassing=False,
        tag='energy',
    )
    builder.order_by({'energy': 'ctime'})
    labels = {level.value: level.label for level in LADDER}
    found: dict[str, dict[tuple[bool, str], dict[str, t.Any]]] = {}
    for structure, protocol, scientific, fidelity, formation, total in builder.iterall():
        values = found.setdefault(structure, {}).setdefault((bool(scientific), protocol), {})
        values[f'formation_energy_per_atom_{labels[fidelity]}'] = formation
        values[f'total_energy_{labels[fidelity]}'] = total
    best = {}
    for structure, protocols in found.items():
        scientific, protocol = max(protocols, key=lambda key: (key[0], len(protocols[key]), key[1]))
        values = protocols[scientific, protocol]
        best[structure] = {**values, 'protocol': protocol, 'scientific': scientific}
    return best


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Let the server read no configuration of another one and write no log beyond ``folder`` while it is imported."""
    changes = {'OPTIMADE_CONFIG_FILE': os.path.join(folder, 'none.json'), 'OPTIMADE_LOG_DIR': folder}  # noqa: PTH118
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def create_server(base_url: str | None = None, *, page_limit: int = 100) -> FastAPI:
    """Return the application that serves the loaded profile; it has no way to change it.

    The structures are read when it is made, and again when something new was stored.

    :param base_url: address under which clients reach it, for the links between pages.
    :raises InvalidInputError: if the server is not installed.
    """
    folder = tempfile.mkdtemp(prefix='qagenai-serve-')
    try:
        with _environment(folder):
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                from optimade.server.config import ServerConfig, SupportedBackend
                from optimade.server.create_app import create_app
    except ImportError as exception:
        raise InvalidInputError(MISSING) from exception
    config = ServerConfig(
        database_backend=SupportedBackend.MONGOMOCK,
        mongo_database=f'qagenai-{uuid.uuid4()}',
        insert_test_data=False,
        page_limit=min(20, page_limit),
        page_limit_max=page_limit,
        base_url=base_url,
        log_dir=folder,
        log_level='warning',
        provider={
            'prefix': PREFIX,
            'name': 'aiida-qagenai',
            'description': 'Structures and multi-fidelity energies of an AiiDA profile',
            'homepage': 'https://www.aiida.net',
        },
        implementation={
            'name': 'aiida-qagenai',
            'version': __version__,
        },
        provider_fields={'structures': FIELDS},
    )
    with _environment(folder):
        app = create_app(config)
    _keep_up_to_date(app, GraphResources())
    return t.cast('FastAPI', app)


def _keep_up_to_date(app: t.Any, resources: GraphResources) -> None:
    """Fill the collection of structures, and add what is new before a request is answered."""
    from starlette.concurrency import run_in_threadpool

    collection = app.state.entry_collections['structures']
    checked = -math.inf

    def update() -> None:
        nonlocal checked
        if time.monotonic() - checked < STALE_AFTER:
            return
        new, anew = resources.new()
        if anew:
            collection.collection.delete_many({})
        if new:
            collection.insert(new)
        checked = time.monotonic()

    update()

    @app.middleware('http')
    async def refresh(request: t.Any, call_next: t.Any) -> t.Any:
        if 'structures' in request.url.path:
            await run_in_threadpool(update)
        return await call_next(request)
