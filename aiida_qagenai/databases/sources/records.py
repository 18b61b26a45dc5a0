"""From raw records to entries: structure, energies, properties; nothing here loads AiiDA, so that workers may do it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import typing as t
from collections import deque

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.symmetry import space_group
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.databases.sources.settings import EnergyColumn, ImportSettings, energy_column
from aiida_qagenai.exchange.readers.formats import RawRecord
from aiida_qagenai.exchange.readers.phase_files import LARGEST_FORMATION_ENERGY
from aiida_qagenai.exchange.readers.raw_records import FIDELITY, read_raw_records
from aiida_qagenai.exchange.readers.structure_files import ReadStructure, structures_of
from aiida_qagenai.exchange.readers.text import IDENTIFIERS, parse_number, plain_value

__all__ = ('RECORDS_PER_TASK', 'Entry', 'EntryEnergy', 'Problem', 'parse_file', 'parse_records', 'read_records')

RECORDS_PER_TASK = 100
"""Records that a worker parses at once."""

MAX_TEXT = 1000
"""Longer texts among the properties of a record are left out."""


class EntryEnergy(t.NamedTuple):
    """One energy of an entry.

    :param total_energy: eV per cell.
    :param formation_energy_per_atom: eV/atom.
    """

    fidelity: Fidelity
    total_energy: float | None
    formation_energy_per_atom: float | None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A checked record.

    :param cell: lattice vectors as rows, Å.
    :param positions: Cartesian, Å.
    :param sha256: of the original record.
    :param warnings: what was assumed or left out as the structure was read.
    """

    place: str
    identifier: str
    cell: list[list[float]]
    symbols: list[str]
    positions: list[list[float]]
    space_group_number: int
    energies: tuple[EntryEnergy, ...]
    experimental: bool | None
    properties: dict[str, t.Any]
    sha256: str
    warnings: tuple[str, ...] = ()


class Problem(t.NamedTuple):
    """A record that was left out, and why."""

    place: str
    identifier: str
    message: str


def read_records(handle: t.IO[bytes], settings: ImportSettings, name: str) -> t.Iterator[RawRecord]:
    """Yield the records of an open binary file called ``name``, in the format of ``settings``."""
    return read_raw_records(handle, settings.format, name, column=settings.identifier, identified=True)


def parse_file(handle: t.IO[bytes], settings: ImportSettings, name: str, workers: int) -> t.Iterator[Entry | Problem]:
    """Yield entries and problems in the order of the file, parsed by ``workers`` ahead of their use."""
    records = read_records(handle, settings, name)
    tasks: t.Iterator[list[RawRecord]] = iter(lambda: list(itertools.islice(records, RECORDS_PER_TASK)), [])
    if not workers:
        for task in tasks:
            yield from parse_records(task, settings)
        return
    # Spawned, because a fork would share the connection to the database.
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[concurrent.futures.Future[list[Entry | Problem]]] = deque()
        for task in tasks:
            waiting.append(pool.submit(parse_records, task, settings))
            if len(waiting) > 8 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def parse_records(records: t.Sequence[RawRecord], settings: ImportSettings) -> list[Entry | Problem]:
    """Return an entry or a problem for each structure of the records, in order."""
    # spglib prints its own warnings; where it fails, the space group says so
    os.environ.setdefault('SPGLIB_WARNING', 'OFF')
    return [
        Problem(record.place, record.identifier, record.problem) if record.problem else _entry(record, item, settings)
        for record in records
        for item in structures_of(record)
    ]


def _entry(record: RawRecord, item: ReadStructure, settings: ImportSettings) -> Entry | Problem:
    """Return the entry of a structure, or what is wrong with it."""
    rows = [{**item.fields, **row} for row in record.rows] or [dict(item.fields)]
    identifier = item.name if item.name != record.name else _identifier(record, rows[0], settings)
    structure = item.structure
    if structure is None:
        return Problem(record.place, identifier, item.problem)
    wrong = structure_problem(structure)
    if wrong is not None:
        return Problem(record.place, identifier, f'the structure {wrong}')
    try:
        energies = _energies(rows, settings, len(structure))
    except InvalidInputError as exception:
        return Problem(record.place, identifier, str(exception))
    return Entry(
        place=record.place,
        identifier=identifier,
        cell=structure.lattice.matrix.tolist(),
        symbols=[site.specie.symbol for site in structure],
        positions=structure.cart_coords.tolist(),
        space_group_number=space_group(structure).number or 0,
        energies=energies,
        experimental=_experimental(rows[0], settings),
        properties=_properties(rows[0], settings, record.kinds),
        sha256=record_hash(record, item.name if item.name != record.name else ''),
        warnings=item.warnings,
    )


def record_hash(record: RawRecord, name: str = '') -> str:
    """Return the SHA-256 of a record, wherever it is in its source.

    :param name: of the structure, where the record has several.
    """
    content = [record.kind, record.structure, record.rows, *([name] if name else [])]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _identifier(record: RawRecord, row: dict[str, t.Any], settings: ImportSettings) -> str:
    """Return the identifier: of the settings, of the record, or (extxyz) of the comment line."""
    if settings.identifier is not None and row.get(settings.identifier) not in (None, ''):
        return str(row[settings.identifier])
    if record.kind == 'extxyz':
        return next((str(row[name]) for name in IDENTIFIERS if row.get(name) not in (None, '')), record.identifier)
    return record.identifier


def _energies(rows: list[dict[str, t.Any]], settings: ImportSettings, num_atoms: int) -> tuple[EntryEnergy, ...]:
    """Return the energies in the rows of one structure, lowest fidelity first."""
    found: dict[Fidelity, dict[str, float]] = {}
    for row in rows:
        level = str(row[FIDELITY]) if row.get(FIDELITY) not in (None, '') else None
        for name, value in row.items():
            column = energy_column(name, settings, level)
            if column is not None:
                number = parse_number(name, value)
                if number is not None:
                    _add(found, column, name, number, num_atoms)
    return tuple(
        EntryEnergy(fidelity, values.get('total_energy'), values.get('formation_energy_per_atom'))
        for fidelity, values in sorted(found.items(), key=lambda item: item[0].rank)
    )


def _add(
    found: dict[Fidelity, dict[str, float]], column: EnergyColumn, name: str, number: float, num_atoms: int
) -> None:
    if column.kind == 'formation_energy_per_atom' and abs(number) > LARGEST_FORMATION_ENERGY:
        raise InvalidInputError(f'`{name}` is {number}: too large for eV/atom')
    kind, energy = column.kind, number
    if kind == 'energy_per_atom':
        kind, energy = 'total_energy', number * num_atoms
    values = found.setdefault(column.fidelity, {})
    if kind in values and abs(values[kind] - energy) > 1e-4 * num_atoms:
        raise InvalidInputError(f'two values of {kind} at {column.fidelity}: {values[kind]} and {energy} eV')
    values.setdefault(kind, energy)


def _experimental(row: dict[str, t.Any], settings: ImportSettings) -> bool | None:
    """Return whether the structure was measured, where the record says so."""
    if settings.experimental is not None:
        return settings.experimental
    for name, meaning in (('experimental', True), ('theoretical', False)):
        text = str(row.get(name, row.get(f'_qagenai_{name}', ''))).strip().lower()
        if text in {'true', '1'}:
            return meaning
        if text in {'false', '0'}:
            return not meaning
    return None


def _properties(row: dict[str, t.Any], settings: ImportSettings, kinds: t.Mapping[str, str] | None) -> dict[str, t.Any]:
    """Return the other columns as plain values.

    :param kinds: of the columns of a table, whose other columns are text; ``None`` elsewhere.
    """
    properties = {}
    for name, value in row.items():
        if energy_column(name, settings) is None and name not in IDENTIFIERS:
            plain = (
                plain_value(value, kinds.get(name)) if kinds is not None and isinstance(value, str) else _plain(value)
            )
            if plain is not None and not (isinstance(plain, str) and len(plain) > MAX_TEXT):
                properties[name] = plain
    return properties


def _plain(value: t.Any) -> t.Any:
    """Return a value as JSON has it, ``None`` where it has none."""
    if isinstance(value, str):
        return value.strip() or None
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None
