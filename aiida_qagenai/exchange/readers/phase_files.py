"""Phases in plain files.

CSV with a header; JSON with a list of objects of the same names; or JSON of pymatgen entries. Columns: ``formula``;
``formation_energy_per_atom`` or ``energy_per_atom`` in eV/atom; and optionally ``identifier``, ``level`` (of
theory) and ``sigma`` (eV/atom). Others are ignored.
"""

from __future__ import annotations

import csv
import os
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.readers.json_files import entry_fields, read_items
from aiida_qagenai.exchange.readers.text import DAMAGED, IDENTIFIERS, csv_reader, csv_rows, open_text, parse_number
from aiida_qagenai.thermodynamics.hull.phases import Phase

__all__ = ('FORMATION', 'LARGEST_FORMATION_ENERGY', 'TOTAL', 'PhaseTable', 'read_phases', 'read_tables')

FORMATION = 'formation_energy_per_atom'
TOTAL = 'energy_per_atom'

LARGEST_FORMATION_ENERGY = 20.0
"""Larger magnitudes are taken for another unit, eV/atom: the most stable compounds reach −4.5."""

_Rows = list[tuple[str, dict[str, t.Any]]]


class PhaseTable(t.NamedTuple):
    """The phases of one file.

    :param phases: in the order of the file.
    :param formation: whether the energies are formation energies (else total energies).
    """

    phases: list[Phase]
    formation: bool


def read_phases(path: str | os.PathLike[str]) -> PhaseTable:
    """Return the phases in a CSV or JSON file.

    :raises InvalidInputError: naming the file and the line or index of what is wrong.
    :raises FileNotFoundError: if there is no such file.
    """
    return read_tables(path)[0]


def read_tables(*paths: str | os.PathLike[str]) -> list[PhaseTable]:
    """Return the phases in files, with the kind of energy that all of them have.

    :raises InvalidInputError: naming the file and the line or index of what is wrong.
    """
    tables = [(Path(path), _rows(Path(path))) for path in paths]
    columns = [_energy_columns(path, rows[0][1]) for path, rows in tables]
    common = [name for name in columns[0] if all(name in found for found in columns)]
    if not common:
        names = ' and '.join(f'`{path}`' for path, _ in tables)
        raise InvalidInputError(f'{names} must both have formation energies or both total energies')
    return [_table(path, rows, common[0]) for path, rows in tables]


def _table(path: Path, rows: _Rows, column: str) -> PhaseTable:
    phases = []
    for place, row in rows:
        try:
            phases.append(_phase(row, column))
        except InvalidInputError as exception:
            raise InvalidInputError(f'`{path}`, {place}: {" ".join(str(exception).split())}') from exception
    return PhaseTable(phases, column == FORMATION)


def _rows(path: Path) -> _Rows:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        with path.open('rb') as handle:
            rows = _json_rows(path, handle) if '.json' in suffixes else _csv_rows(path, handle)
    except FileNotFoundError:
        raise
    except (*DAMAGED, csv.Error) as exception:
        raise InvalidInputError(f'`{path}` cannot be read: {exception}') from exception
    if not rows:
        raise InvalidInputError(f'`{path}` is empty' if path.stat().st_size == 0 else f'`{path}` has no phases')
    return rows


def _csv_rows(path: Path, handle: t.IO[bytes]) -> _Rows:
    rows = []
    for row in csv_rows(csv_reader(open_text(handle))):
        if row.problem:
            raise InvalidInputError(f'`{path}`, {row.place}: {row.problem}')
        rows.append((row.place, row.values))
    return rows


def _json_rows(path: Path, handle: t.IO[bytes]) -> _Rows:
    rows = []
    for item in read_items(open_text(handle)):
        problem = item.problem
        if not problem and (item.alone or not isinstance(item.content, dict)):
            problem = f'it must hold a list of objects with `formula` and `{FORMATION}`, or of pymatgen entries'
        if problem:
            raise InvalidInputError(f'`{path}`, {item.place}: {problem}')
        rows.append((item.place, entry_fields(item.content)))
    return rows


def _energy_columns(path: Path, row: t.Mapping[str, t.Any]) -> list[str]:
    """Return the columns of energies in a row."""
    if 'formula' not in row:
        raise InvalidInputError(f'`{path}` has no column `formula`, only {", ".join(map(repr, row))}')
    found = [name for name in (FORMATION, TOTAL) if name in row]
    if found:
        return found
    similar = [name for name in row if 'energy' in name.lower() or 'enthalpy' in name.lower()]
    other = f'; {", ".join(map(repr, similar))} is not one of them' if similar else ''
    raise InvalidInputError(f'`{path}` needs a column `{FORMATION}` or `{TOTAL}`, both in eV/atom{other}')


def _phase(row: t.Mapping[str, t.Any], column: str) -> Phase:
    energy = _number(row, column)
    if column == FORMATION and abs(energy) > LARGEST_FORMATION_ENERGY:
        message = f'the formation energy {energy} is too large for eV/atom: convert the column to eV/atom'
        raise InvalidInputError(message)
    formula = row.get('formula')
    if not isinstance(formula, str) or not formula.strip():
        raise InvalidInputError(f'`formula` is {formula!r}')
    identifier = next((row[name] for name in IDENTIFIERS if row.get(name) not in (None, '')), None)
    return Phase(
        formula.strip(),
        energy,
        identifier=None if identifier is None else str(identifier),
        level=str(row['level']) if row.get('level') not in (None, '') else None,
        sigma=_number(row, 'sigma') if row.get('sigma') not in (None, '') else 0.0,
    )


def _number(row: t.Mapping[str, t.Any], column: str) -> float:
    number = parse_number(column, row.get(column))
    if number is None:
        raise InvalidInputError(f'`{column}` is {row.get(column)!r}, not a number: it must be finite')
    return number
