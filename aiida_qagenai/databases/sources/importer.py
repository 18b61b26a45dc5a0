"""Import of a file: one process whose outputs are an entry per structure and its energies."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import hashlib
import os
import socket
import tempfile
import typing as t
from collections import Counter
from pathlib import Path

import psutil
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import Process, calcfunction

from aiida_qagenai.chemistry.formula import chemical_system, reduced_formula
from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import DatabaseGroup, find_database, known_entries, open_database
from aiida_qagenai.databases.sources.records import RECORDS_PER_TASK, Entry, Problem, parse_file, read_records
from aiida_qagenai.databases.sources.settings import ImportSettings
from aiida_qagenai.engine.bulk import insert_outputs
from aiida_qagenai.engine.endings import mark_killed
from aiida_qagenai.engine.rows import CHUNK_SIZE, fill_group
from aiida_qagenai.exchange.readers.formats import pack_folder
from aiida_qagenai.queries.outputs import created_by

__all__ = (
    'WHERE',
    'ImportReport',
    'Progress',
    'close_interrupted',
    'import_entries',
    'import_file',
    'import_files',
    'this_process',
)

MAX_PROBLEMS = 10_000
"""Problems kept in the report; more are only counted."""

Progress = t.Callable[[str, int, int], None]
"""Called with the name of the file, the records read and the records left out so far."""


@dataclasses.dataclass(frozen=True)
class _Session:
    """What an import needs beside its inputs; none of it changes what is stored of a record."""

    known: dict[str, str]
    group: DatabaseGroup
    progress: t.Callable[[int, int], None]
    workers: int


_SESSION: contextvars.ContextVar[_Session] = contextvars.ContextVar('import_session')


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What an import did.

    :param records: records in the file.
    :param imported: new entries.
    :param known: entries that the version of the database held already.
    :param malformed: records left out.
    :param problems: place, identifier and message of each (the first 10,000).
    :param energies: number of new energies by fidelity.
    :param warnings: what was assumed or left out as new entries were read (the first 10,000).
    :param pk: the process, and ``repeated``: whether it is one that had run before.
    """

    file: str
    pk: int
    repeated: bool
    records: int
    imported: int
    known: int
    malformed: int
    problems: list[Problem]
    energies: dict[str, int]
    warnings: list[Problem] = dataclasses.field(default_factory=list)


@calcfunction
def import_entries(file: orm.SinglefileData, settings: orm.Dict) -> dict[str, orm.Data]:
    """Store the records of ``file`` as outputs: ``entries__e0000000`` and ``energies__e0000000pbe``.

    Started by :func:`import_file` only. They are stored in bulk as the file is read, an entry always together with its
    energies; what was stored before an interruption stays.

    :param settings: fields of :class:`~aiida_qagenai.databases.sources.settings.ImportSettings`.
    :returns: the ``report``.
    """
    session = _SESSION.get()
    process = Process.current()
    assert process is not None
    node = t.cast(orm.CalculationNode, process.node)
    node.base.extras.set(WHERE, this_process())
    meaning = ImportSettings(**settings.get_dict())
    counts: Counter[str] = Counter()
    problems: list[Problem] = []
    warnings: list[Problem] = []
    pending: dict[str, orm.Data] = {}
    seen: set[str] = set()

    def flush() -> None:
        if pending:
            fill_group(session.group, insert_outputs(node, pending).values())
            pending.clear()

    with file.open(mode='rb') as handle:
        for parsed in parse_file(t.cast(t.IO[bytes], handle), meaning, file.filename, session.workers):
            counts['records'] += 1
            problem = parsed if isinstance(parsed, Problem) else _refusal(parsed, seen, session.known, meaning)
            if problem is not None:
                counts['malformed'] += 1
                problems.append(problem)
            elif isinstance(parsed, Entry):
                seen.add(parsed.identifier)
                if parsed.identifier in session.known:
                    counts['known'] += 1
                else:
                    nodes = _nodes(parsed, meaning, counts['imported'])
                    if len(pending) + len(nodes) > CHUNK_SIZE:
                        flush()
                    pending.update(nodes)
                    counts['imported'] += 1
                    warnings.extend(Problem(parsed.place, parsed.identifier, text) for text in parsed.warnings)
                    counts.update(f'energies_{energy.fidelity.value}' for energy in parsed.energies)
            if counts['records'] % RECORDS_PER_TASK == 0:
                if process.is_killing or process.killed():  # AiiDA notes Ctrl-C, but lets a function run on
                    raise KeyboardInterrupt
                session.progress(counts['records'], counts['malformed'])
        flush()
    session.progress(counts['records'], counts['malformed'])
    return {'report': orm.Dict(_report(counts, problems, warnings))}


# The outputs are stored one by one in the version of a database, so that nothing may be taken from another import.
import_entries.is_valid_cache = lambda node: False


def import_files(
    paths: t.Sequence[Path], settings: t.Sequence[ImportSettings], *, workers: int = 0, progress: Progress | None = None
) -> list[ImportReport]:
    """Import files as one version of a database and close it, or forget the version if nothing could be imported.

    :param settings: one per file; all of the same database and version.
    :param workers: processes that parse; 0 parses in this one.
    :raises InvalidInputError: if a file cannot be an import, or the version is closed and holds other files.
    """
    origins = {(item.database, item.version, item.license, item.url) for item in settings}
    if len(origins) != 1:
        raise InvalidInputError(f'one import is of one version of one database, not of {sorted(origins)}')
    reports = [
        import_file(path, item, workers=workers, progress=progress) for path, item in zip(paths, settings, strict=True)
    ]
    group = find_database(settings[0].database, settings[0].version)
    assert group is not None
    if group.is_empty:
        # so that it can be tried again with other settings
        orm.Group.collection.delete(int(group.pk or 0))
    else:
        group.base.extras.set('complete', True)
    return reports


def import_file(
    path: Path, settings: ImportSettings, *, workers: int = 0, progress: Progress | None = None
) -> ImportReport:
    """Import one file into a version of a database, which stays open.

    Importing it again adds nothing; after an interruption it goes on with the records that are missing.

    :raises InvalidInputError: if the version is closed and does not hold this file, another process imports the same
        file now, or the file is not a table of its format.
    """
    with _as_file(path) as source:
        with source.open('rb') as handle:
            digest = hashlib.file_digest(handle, 'sha256').hexdigest()
        group = find_database(settings.database, settings.version)
        known = None if group is None else group.base.extras.get('files').get(digest)
        if known is not None:
            return _repeat(path.name, orm.load_node(known), settings)
        if group is not None and group.is_complete:
            message = (
                f'version `{settings.version}` of `{settings.database}` is imported and closed, without `{path}` '
                f'(or with another content of it): import it as another version'
            )
            raise InvalidInputError(message)
        with source.open('rb') as handle:
            _check_beginning(handle, settings, path)
        group = open_database(settings)
        close_interrupted(group)
        node = _find_file(digest) or orm.SinglefileData(source.absolute(), filename=path.name)
        if not node.is_stored:
            node.base.extras.set('sha256', digest)
            node.store()
    session = _Session(
        known=known_entries(settings),
        group=group,
        progress=lambda done, bad: progress(path.name, done, bad) if progress is not None else None,
        workers=workers,
    )
    token = _SESSION.set(session)
    try:
        outputs, process = import_entries.run_get_node(node, orm.Dict(settings.model_dump(mode='json')))
    finally:
        _SESSION.reset(token)
    if 'report' not in outputs:
        raise InvalidInputError(f'the import of `{path}` was stopped: import it again to go on')
    group.base.extras.set('files', {**group.base.extras.get('files'), digest: process.uuid})
    return _make_report(path.name, process, outputs['report'].get_dict(), repeated=False)


def _nodes(entry: Entry, settings: ImportSettings, index: int) -> dict[str, orm.Data]:
    content = {name: value for name, value in vars(entry).items() if name not in {'place', 'energies'}}
    structure = EntryData(**content, **settings.model_dump(include={'database', 'version', 'license', 'url'}))
    label = f'e{index:07d}'
    nodes: dict[str, orm.Data] = {f'entries__{label}': structure}
    counts = Counter(entry.symbols)
    gap = entry.properties.get('band_gap')
    for energy in entry.energies:
        formation = energy.formation_energy_per_atom
        nodes[f'energies__{label}{energy.fidelity.label}'] = EnergyData(
            fidelity=energy.fidelity,
            total_energy=energy.total_energy,
            num_atoms=len(entry.symbols),
            formation_energy_per_atom=formation,
            formation_scheme=None if formation is None else f'{settings.database}:{settings.formation_scheme}',
            formula=reduced_formula(counts),
            chemical_system=chemical_system(counts),
            converged=True,
            protocol=settings.database,
            level_tag=settings.level_tag(energy.fidelity),
            scientific=True,
            structure_uuid=structure.uuid,
            band_gap=float(gap) if isinstance(gap, int | float) and not isinstance(gap, bool) else None,
            source=structure.source,
        )
    return nodes


def _refusal(entry: Entry, seen: set[str], known: dict[str, str], settings: ImportSettings) -> Problem | None:
    """Return why an entry may not be stored, if so."""
    if not entry.identifier:
        return Problem(entry.place, '', 'the identifier is empty')
    if entry.identifier in seen:
        return Problem(entry.place, entry.identifier, 'this identifier came before')
    if known.get(entry.identifier, entry.sha256) != entry.sha256:
        message = f'differs from the entry of version `{settings.version}` that is stored'
        return Problem(entry.place, entry.identifier, message)
    return None


def _report(counts: Counter[str], problems: list[Problem], warnings: list[Problem]) -> dict[str, t.Any]:
    prefix = 'energies_'
    energies = {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
    names = ('records', 'imported', 'known', 'malformed')
    kept, noted = ([item._asdict() for item in items[:MAX_PROBLEMS]] for items in (problems, warnings))
    return {**{name: counts[name] for name in names}, 'energies': energies, 'problems': kept, 'warnings': noted}


def _make_report(name: str, process: orm.ProcessNode, content: dict[str, t.Any], *, repeated: bool) -> ImportReport:
    lists = {key: [Problem(**item) for item in content.get(key, ())] for key in ('problems', 'warnings')}
    return ImportReport(name, int(process.pk or 0), repeated, **{**content, **lists})


def _repeat(name: str, process: orm.ProcessNode, settings: ImportSettings) -> ImportReport:
    """Return the report of an import that ran before: nothing is new."""
    before = process.inputs.settings.get_dict()
    now = settings.model_dump(mode='json')
    other = [key for key in now if now[key] != before.get(key)]
    if other:
        message = (
            f'`{name}` is imported already as `{settings.database}` version `{settings.version}` with another '
            f'{", ".join(f"`{key}`: {before.get(key)!r}" for key in other)}: import it as another version'
        )
        raise InvalidInputError(message)
    content = report_of(process)
    content |= {'known': content['imported'] + content['known'], 'imported': 0, 'energies': {}}
    return _make_report(name, process, content, repeated=True)


def report_of(process: orm.ProcessNode) -> dict[str, t.Any]:
    """Return the report of an import; `process.outputs` would load all it created."""
    builder = created_by([process.pk], orm.Dict, 'attributes', label='report')
    return t.cast('dict[str, t.Any]', builder.first(flat=True))


@contextlib.contextmanager
def _as_file(path: Path) -> t.Iterator[Path]:
    if path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / f'{path.resolve().name}.zip'
            pack_folder(path, packed)
            yield packed
    elif path.is_file():
        yield path
    else:
        raise InvalidInputError(f'there is no file or folder `{path}`')


def _check_beginning(handle: t.IO[bytes], settings: ImportSettings, path: Path) -> None:
    """Check that a file has records at all, before anything is stored."""
    with reported_as(f'`{path}`:', InvalidInputError):
        first = next(read_records(handle, settings, path.name), None)
    if first is None:
        raise InvalidInputError(f'`{path}` has no records')


def _find_file(digest: str) -> orm.SinglefileData | None:
    builder = orm.QueryBuilder().append(orm.SinglefileData, filters={'extras.sha256': digest}, project='*')
    return t.cast('orm.SinglefileData | None', builder.first(flat=True))


WHERE = 'qagenai_runs'
"""Extra of an import: the machine and the process that runs it."""


def this_process() -> dict[str, t.Any]:
    """Return what identifies this process on this machine."""
    return {'host': socket.gethostname(), 'pid': os.getpid(), 'started': psutil.Process().create_time()}


def close_interrupted(group: DatabaseGroup) -> None:
    """Close the imports into a group that were killed, so that their nodes can be exported as any others.

    :raises InvalidInputError: if one still runs.
    """
    builder = orm.QueryBuilder()
    builder.append(
        orm.CalcFunctionNode,
        filters={'attributes.process_label': 'import_entries', 'attributes.sealed': {'!has_key': ''}},
        project='*',
        tag='process',
    )
    builder.append(
        orm.Dict,
        with_outgoing='process',
        edge_filters={'type': LinkType.INPUT_CALC.value},
        filters={
            'attributes.database': group.base.extras.get('database'),
            'attributes.version': group.base.extras.get('version'),
        },
    )
    for (node,) in builder.all():
        if node.is_sealed:
            continue
        where = node.base.extras.get(WHERE, {})
        if _runs(where):
            message = f'process {where["pid"]} on {where["host"]} imports into `{group.label}` now: wait for it'
            raise InvalidInputError(message)
        stored = created_by([node.pk], orm.Data, 'id').all(flat=True)
        fill_group(group, stored)
        mark_killed(node, f'interrupted after {len(stored)} nodes; a later import went on')


def _runs(where: dict[str, t.Any]) -> bool:
    """Return whether the process of an import still lives; one on another machine counts as alive."""
    if not where or where['pid'] == os.getpid():
        return False
    if where['host'] != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(where['pid']).create_time() - where['started']) < 1.0)
    except psutil.NoSuchProcess:
        return False
