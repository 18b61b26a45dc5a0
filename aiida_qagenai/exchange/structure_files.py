"""Structures in plain files."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.formats import FORMATS, format_of, is_archive
from aiida_qagenai.exchange.raw_records import read_raw_records
from aiida_qagenai.exchange.structure_records import structures_of
from aiida_qagenai.exchange.tables import parse_number

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('NamedStructure', 'read_named_structures', 'read_structures')

ENERGIES = ('formation_energy_per_atom', 'energy_per_atom', 'total_energy', 'energy')
"""Columns of energies: eV/atom, eV/atom, and eV per cell."""


class NamedStructure(t.NamedTuple):
    """One structure of a file.

    :param fields: columns of its row, or what its entry holds beside it.
    :param warnings: what was assumed or left out as it was read.
    """

    name: str
    structure: Structure
    fields: Mapping[str, t.Any]
    warnings: tuple[str, ...]

    @property
    def energies(self) -> dict[str, float]:
        """Return the energies that came with the structure, by the names of their columns."""
        found = {}
        for name in ENERGIES:
            try:
                number = parse_number(name, self.fields.get(name))
            except InvalidInputError:
                continue
            if number is not None:
                found[name] = number
        return found


def read_structures(path: str | os.PathLike[str]) -> list[tuple[str, Structure]]:
    """Return (name, structure) for all structures in a file; see :func:`read_named_structures`."""
    return [(item.name, item.structure) for item in read_named_structures(path)]


def read_named_structures(path: str | os.PathLike[str]) -> list[NamedStructure]:
    """Return all structures in a file, by its ending; see :data:`~aiida_qagenai.exchange.formats.FORMATS`.

    Disordered and otherwise odd structures are returned as they are: screening says what is wrong with them. What a
    file says of a structure (formula, Z, density, symmetry) has to agree with its atoms.

    :raises InvalidInputError: naming the file and the place of what cannot be read or contradicts itself.
    """
    path = Path(path)
    format_ = None if is_archive(path.name) else format_of(path.name)
    if not path.is_file():
        message = f'`{path}` is not a file'
        raise InvalidInputError(message)
    if path.stat().st_size == 0:
        message = f'`{path}` is empty'
        raise InvalidInputError(message)
    if format_ is None:
        message = f'cannot tell the format of `{path}`: known are {FORMATS}'
        raise InvalidInputError(message)
    try:
        found = list(_structures(path, format_))
    except CorruptFileError:
        raise
    except InvalidInputError as exception:
        message = str(exception) if str(exception).startswith(f'`{path}`') else f'`{path}`: {exception}'
        raise InvalidInputError(message) from exception
    except OSError as exception:
        message = f'`{path}` cannot be read: {exception.strerror}'
        raise InvalidInputError(message) from exception
    if not found:
        message = f'`{path}` has no structures'
        raise InvalidInputError(message)
    return found


def _structures(path: Path, format_: str) -> Iterator[NamedStructure]:
    with path.open('rb') as handle:
        for record in read_raw_records(handle, format_, path.name):
            for item in structures_of(record):
                if item.structure is None:
                    place = f'`{path}`, {record.place}' if record.place else f'`{path}`'
                    message = f'{place}: {item.problem}'
                    raise InvalidInputError(message)
                fields = {**item.fields, **(record.rows[0] if record.rows else {})}
                yield NamedStructure(item.name, item.structure, fields, item.warnings)
