"""From raw records to entries: structure, energies, properties; nothing here loads AiiDA, so that workers may do it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import itertools
import json
import math
import multiprocessing
import os
import typing as t
import warnings
from collections import deque

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.symmetry import space_group
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.databases.sources.readers import FIDELITY, IDENTIFIERS, RawRecord, read_records
from aiida_qagenai.databases.sources.settings import EnergyColumn, ImportSettings, energy_column
from aiida_qagenai.exchange.phase_files import LARGEST_FORMATION_ENERGY

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('RECORDS_PER_TASK', 'Entry', 'EntryEnergy', 'Problem', 'parse_file', 'parse_record', 'parse_records')

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


class Problem(t.NamedTuple):
    """A record that was left out, and why."""

    place: str
    identifier: str
    message: str


def parse_file(handle: t.IO[bytes], settings: ImportSettings, workers: int) -> t.Iterator[Entry | Problem]:
    """Yield entries and problems in the order of the file, parsed by ``workers`` ahead of their use."""
    tasks = _batched(read_records(handle, settings), RECORDS_PER_TASK)
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


def _batched(items: t.Iterator[t.Any], size: int) -> t.Iterator[list[t.Any]]:
    """Yield lists of at most ``size`` items."""
    while batch := list(itertools.islice(items, size)):
        yield batch


def parse_records(records: t.Sequence[RawRecord], settings: ImportSettings) -> list[Entry | Problem]:
    """Return an entry or a problem for each record, in order."""
    # spglib prints its own warnings; where it fails, the space group says so
    os.environ.setdefault('SPGLIB_WARNING', 'OFF')
    return [parse_record(record, settings) for record in records]


def parse_record(record: RawRecord, settings: ImportSettings) -> Entry | Problem:
    """Return the entry of a record, or what is wrong with it."""
    if record.problem:
        return Problem(record.place, record.identifier, record.problem)
    try:
        structure, fields = _structure(record)
    except InvalidInputError as exception:
        return Problem(record.place, record.identifier, str(exception))
    except Exception as exception:  # parsers raise whatever they meet
        return Problem(record.place, record.identifier, f'the structure cannot be read: {exception!s:.200}')
    wrong = structure_problem(structure)
    if wrong is not None:
        return Problem(record.place, record.identifier, f'the structure {wrong}')
    rows = [{**fields, **row} for row in record.rows]
    identifier = _identifier(record, rows[0], settings)
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
        properties=_properties(rows[0], settings),
        sha256=record_hash(record),
    )


def record_hash(record: RawRecord) -> str:
    """Return the SHA-256 of a record, wherever it is in its source."""
    content = [record.kind, record.structure, record.rows]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _structure(record: RawRecord) -> tuple[Structure, dict[str, t.Any]]:
    """Return the structure of a record and the fields that came with it.

    :raises InvalidInputError: if it is no crystal.
    """
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if record.kind == 'cif':
            return Structure.from_str(record.structure, fmt='cif'), {}
        if record.kind == 'extxyz':
            return _from_extxyz(record.structure)
        content = json.loads(record.structure)
        if record.kind == 'pymatgen':
            return Structure.from_dict(content), {}
        return _from_optimade(content), {}


def _from_extxyz(text: str) -> tuple[Structure, dict[str, t.Any]]:
    """Return the structure and the values of the comment line of one frame."""
    from ase.io import read
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = t.cast(t.Any, read(io.StringIO(text), format='extxyz'))
    if not atoms.pbc.all():
        message = 'the structure is not periodic in three directions (no Lattice in the comment line?)'
        raise InvalidInputError(message)
    fields = {name: value.tolist() if hasattr(value, 'tolist') else value for name, value in atoms.info.items()}
    if atoms.calc is not None and 'energy' in atoms.calc.results:
        fields.setdefault('energy', float(atoms.calc.results['energy']))
    atoms.calc = None
    return AseAtomsAdaptor.get_structure(atoms), fields


def _from_optimade(content: dict[str, t.Any]) -> Structure:
    """Return the structure of the fields of OPTIMADE.

    :raises InvalidInputError: if it is not periodic, a field is missing, or a site is not one element.
    """
    from pymatgen.core import Lattice, Structure

    needed = ('lattice_vectors', 'cartesian_site_positions', 'species_at_sites')
    missing = [name for name in needed if not content[name]]
    if missing:
        message = f'the structure has no {", ".join(missing)}'
        raise InvalidInputError(message)
    if content.get('dimension_types') not in (None, [1, 1, 1]):
        message = f'the structure is not periodic in three directions: {content["dimension_types"]}'
        raise InvalidInputError(message)
    elements = {}
    for species in content.get('species') or ():
        symbols, shares = species['chemical_symbols'], species['concentration']
        if len(symbols) != 1 or symbols[0] in {'X', 'vacancy'} or abs(shares[0] - 1) > 1e-6:
            message = f'the site `{species["name"]}` is not one element: {symbols}'
            raise InvalidInputError(message)
        elements[species['name']] = symbols[0]
    symbols = [elements.get(name, name) for name in content['species_at_sites']]
    return Structure(
        Lattice(content['lattice_vectors']), symbols, content['cartesian_site_positions'], coords_are_cartesian=True
    )


def _identifier(record: RawRecord, row: dict[str, t.Any], settings: ImportSettings) -> str:
    """Return the identifier: of the settings, of the record, or (extxyz) of the comment line."""
    if settings.identifier is not None and row.get(settings.identifier) not in (None, ''):
        return str(row[settings.identifier])
    if record.kind == 'extxyz':
        return next((str(row[name]) for name in IDENTIFIERS if row.get(name) not in (None, '')), record.identifier)
    return record.identifier


def _energies(rows: list[dict[str, t.Any]], settings: ImportSettings, num_atoms: int) -> tuple[EntryEnergy, ...]:
    """Return the energies in the rows of one structure, lowest fidelity first.

    :raises InvalidInputError: if one is no number, given twice, or of another unit.
    """
    found: dict[Fidelity, dict[str, float]] = {}
    for row in rows:
        level = str(row[FIDELITY]) if row.get(FIDELITY) not in (None, '') else None
        for name, value in row.items():
            column = energy_column(name, settings, level)
            if column is not None:
                number = _number(name, value)
                if number is not None:
                    _add(found, column, name, number, num_atoms)
    return tuple(
        EntryEnergy(fidelity, values.get('total_energy'), values.get('formation_energy_per_atom'))
        for fidelity, values in sorted(found.items(), key=lambda item: item[0].rank)
    )


def _add(
    found: dict[Fidelity, dict[str, float]], column: EnergyColumn, name: str, number: float, num_atoms: int
) -> None:
    """Add one energy to those of its fidelity."""
    if column.kind == 'formation_energy_per_atom' and abs(number) > LARGEST_FORMATION_ENERGY:
        message = f'`{name}` is {number}: too large for eV/atom'
        raise InvalidInputError(message)
    kind, energy = column.kind, number
    if kind == 'energy_per_atom':
        kind, energy = 'total_energy', number * num_atoms
    values = found.setdefault(column.fidelity, {})
    if kind in values and abs(values[kind] - energy) > 1e-4 * num_atoms:
        message = f'two values of {kind} at {column.fidelity}: {values[kind]} and {energy} eV'
        raise InvalidInputError(message)
    values.setdefault(kind, energy)


def _number(name: str, value: t.Any) -> float | None:
    """Return a number, or ``None`` where the value is missing.

    :raises InvalidInputError: if it is something else.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in {'', 'nan', 'none', 'null', 'n/a'}):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        message = f'`{name}` is {value!r:.40}, not a number'
        raise InvalidInputError(message)
    return number


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


def _properties(row: dict[str, t.Any], settings: ImportSettings) -> dict[str, t.Any]:
    """Return the other columns as plain values."""
    properties = {}
    for name, value in row.items():
        if energy_column(name, settings) is None and name not in IDENTIFIERS:
            plain = _plain(value)
            if plain is not None and not (isinstance(plain, str) and len(plain) > MAX_TEXT):
                properties[name] = plain
    return properties


def _plain(value: t.Any) -> t.Any:
    """Return a value as JSON has it; numbers and truth values in texts become such, what is missing ``None``."""
    if not isinstance(value, str):
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            return None
    text = value.strip()
    if text in {'True', 'False'}:
        return text == 'True'
    try:
        number = float(text)
    except ValueError:
        return text or None
    if not math.isfinite(number):
        return None
    return int(text) if text.lstrip('-').isdigit() else number
