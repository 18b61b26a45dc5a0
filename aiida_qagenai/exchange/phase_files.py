"""Phases in plain files.

CSV with a header, or JSON with a list of objects. Columns: ``formula``; ``formation_energy_per_atom`` or
``energy_per_atom`` in eV/atom; and optionally ``identifier``, ``level`` (of theory) and ``sigma`` (eV/atom). Others are
ignored.
"""

from __future__ import annotations

import csv
import json
import os
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.phases import Phase

__all__ = ('LARGEST_FORMATION_ENERGY', 'PhaseTable', 'read_phases')

FORMATION = 'formation_energy_per_atom'
TOTAL = 'energy_per_atom'

LARGEST_FORMATION_ENERGY = 20.0
"""Larger magnitudes are taken for another unit, eV/atom: the most stable compounds reach −4.5."""


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
    path = Path(path)
    text = path.read_text(encoding='utf-8-sig')
    if not text.strip():
        message = f'`{path}` is empty'
        raise InvalidInputError(message)
    rows = _json_rows(path, text) if path.suffix.lower() == '.json' else _csv_rows(path, text)
    if not rows:
        message = f'`{path}` has no phases'
        raise InvalidInputError(message)
    column = _energy_column(path, rows[0][1])
    phases = []
    for place, row in rows:
        try:
            phases.append(_phase(row, column))
        except InvalidInputError as exception:
            message = f'`{path}`, {place}: {exception}'
            raise InvalidInputError(message) from exception
    return PhaseTable(phases, column == FORMATION)


def _csv_rows(path: Path, text: str) -> list[tuple[str, dict[str, t.Any]]]:
    reader = csv.DictReader(text.splitlines())
    rows = []
    for row in reader:
        place = f'line {reader.line_num}'
        if None in row or None in row.values():
            message = f'`{path}`, {place}: expected {len(reader.fieldnames or ())} columns as in the header'
            raise InvalidInputError(message)
        rows.append((place, {key.strip(): value for key, value in row.items()}))
    return rows


def _json_rows(path: Path, text: str) -> list[tuple[str, dict[str, t.Any]]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as exception:
        message = f'`{path}` is not JSON: {exception}'
        raise InvalidInputError(message) from exception
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        message = f'`{path}` must hold a list of objects with `formula` and `{FORMATION}`'
        raise InvalidInputError(message)
    return [(f'index {index}', row) for index, row in enumerate(content)]


def _energy_column(path: Path, row: t.Mapping[str, t.Any]) -> str:
    if 'formula' not in row:
        message = f'`{path}` has no column `formula`, only {", ".join(map(repr, row))}'
        raise InvalidInputError(message)
    for name in (FORMATION, TOTAL):
        if name in row:
            return name
    similar = [name for name in row if 'energy' in name.lower() or 'enthalpy' in name.lower()]
    found = f'; {", ".join(map(repr, similar))} is not one of them' if similar else ''
    message = f'`{path}` needs a column `{FORMATION}` or `{TOTAL}`, both in eV/atom{found}'
    raise InvalidInputError(message)


def _phase(row: t.Mapping[str, t.Any], column: str) -> Phase:
    energy = _number(row, column)
    if column == FORMATION and abs(energy) > LARGEST_FORMATION_ENERGY:
        message = f'the formation energy {energy} is too large for eV/atom: convert the column to eV/atom'
        raise InvalidInputError(message)
    formula = row.get('formula')
    if not isinstance(formula, str) or not formula.strip():
        message = f'`formula` is {formula!r}'
        raise InvalidInputError(message)
    return Phase(
        formula.strip(),
        energy,
        identifier=str(row['identifier']) if row.get('identifier') not in (None, '') else None,
        level=str(row['level']) if row.get('level') not in (None, '') else None,
        sigma=_number(row, 'sigma') if row.get('sigma') not in (None, '') else 0.0,
    )


def _number(row: t.Mapping[str, t.Any], column: str) -> float:
    value = row.get(column)
    try:
        return float(t.cast(t.Any, value))
    except (TypeError, ValueError) as exception:
        message = f'`{column}` is {value!r}, not a number'
        raise InvalidInputError(message) from exception
