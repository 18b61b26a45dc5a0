"""Structures in plain files."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import typing as t
import warnings
from pathlib import Path

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('FORMATS', 'read_structures')

FORMATS = '.cif, .vasp (or POSCAR), .xyz and .extxyz, .json (pymatgen), .csv (column cif), .npz (packed)'
"""What can be read, for messages."""


def read_structures(path: str | os.PathLike[str]) -> list[tuple[str, Structure]]:
    """Return (name, structure) for all structures in a file, by its ending; see ``FORMATS``.

    Disordered and otherwise odd structures are returned as they are: screening says what is wrong with them.

    :raises InvalidInputError: naming the file and the index of what cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        message = f'`{path}` is empty'
        raise InvalidInputError(message)
    readers = {
        '.cif': _cif,
        '.vasp': _poscar,
        '.poscar': _poscar,
        '.xyz': _extxyz,
        '.extxyz': _extxyz,
        '.json': _json,
        '.csv': _csv,
        '.npz': _packed,
    }
    reader = readers.get(suffix) or (_poscar if path.name.upper().startswith(('POSCAR', 'CONTCAR')) else None)
    if reader is None:
        message = f'cannot tell the format of `{path}`: known are {FORMATS}'
        raise InvalidInputError(message)
    try:
        found = list(reader(path))
    except (InvalidInputError, CorruptFileError):
        raise
    except Exception as exception:  # parsers raise whatever they meet
        message = f'`{path}` cannot be read as {suffix or path.name}: {exception}'
        raise InvalidInputError(message) from exception
    if not found:
        message = f'`{path}` has no structures'
        raise InvalidInputError(message)
    return found


_Named = t.Iterator[tuple[str, 'Structure']]


def _cif(path: Path) -> _Named:
    try:
        structures = _parse_cif(path.read_text(encoding='utf8', errors='replace'))
    except InvalidInputError as exception:
        message = f'`{path}` cannot be read as CIF: {exception}'
        raise InvalidInputError(message) from exception
    for index, structure in enumerate(structures):
        yield (path.stem if len(structures) == 1 else f'{path.stem}#{index}'), structure


_FAILED_SECTION = re.compile(r'No structure parsed for section (\d+) in CIF\.\s*(.*)')


def _parse_cif(text: str) -> list[Structure]:
    """Return the structures in a CIF.

    :raises InvalidInputError: if a section holds none: pymatgen only warns of that and goes on with the others.
    """
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            structures: list[Structure] = CifParser.from_str(text).parse_structures(primitive=False)
            problem = None
        except Exception as exception:  # pymatgen raises whatever it meets
            structures, problem = [], str(exception)
    for warning in caught:
        if found := _FAILED_SECTION.search(str(warning.message)):
            problem = f'section {found[1]}: {_in_words(found[2])}'
            break
    if problem is not None:
        raise InvalidInputError(problem)
    return structures


def _in_words(reason: str) -> str:
    """Return what the message of a parser means for a crystal."""
    if 'nan' in reason.lower():
        return f'a number is NaN ({reason})'
    if 'ingular matrix' in reason:
        return 'the cell has zero volume'
    return reason


def _poscar(path: Path) -> _Named:
    from pymatgen.io.vasp import Poscar

    yield path.name, Poscar.from_file(path, check_for_potcar=False).structure


def _extxyz(path: Path) -> _Named:
    from ase.io import iread
    from pymatgen.io.ase import AseAtomsAdaptor

    frames = iread(path, index=':', format='extxyz')
    for index in itertools.count():
        try:
            atoms = next(frames)
            periodic = bool(atoms.pbc.all())
            structure = AseAtomsAdaptor.get_structure(atoms) if periodic else None
        except StopIteration:
            return
        except Exception as exception:  # as above
            reason = f'unknown element {exception}' if isinstance(exception, KeyError) else _in_words(str(exception))
            message = f'`{path}`, index {index}: {reason}'
            raise InvalidInputError(message) from exception
        if structure is None:
            message = f'`{path}`, index {index}: not periodic in three directions (no Lattice in the comment line?)'
            raise InvalidInputError(message)
        yield f'{path.stem}#{index}', structure


def _json(path: Path) -> _Named:
    from pymatgen.core import Structure

    content = json.loads(path.read_text(encoding='utf8'))
    rows = content if isinstance(content, list) else [content]
    for index, row in enumerate(rows):
        try:
            yield f'{path.stem}#{index}', Structure.from_dict(row)
        except Exception as exception:  # pymatgen raises whatever the dictionary lacks
            message = f'`{path}`, index {index}: not a structure as pymatgen writes it ({exception!r})'
            raise InvalidInputError(message) from exception


def _csv(path: Path) -> _Named:
    with path.open(encoding='utf-8-sig', newline='') as handle:
        reader = csv.DictReader(handle)
        if 'cif' not in (reader.fieldnames or ()):
            message = f'`{path}` has no column `cif`'
            raise InvalidInputError(message)
        for index, row in enumerate(reader):
            name = row.get('identifier') or row.get('material_id') or f'{path.stem}#{index}'
            try:
                yield name, _parse_cif(row['cif'])[0]
            except InvalidInputError as exception:
                message = f'`{path}`, line {reader.line_num}: the CIF cannot be read: {exception}'
                raise InvalidInputError(message) from exception


def _packed(path: Path) -> _Named:
    batch = StructureBatch.load(path)
    for index, structure in enumerate(batch.structures()):
        yield str(batch.identifiers[index]), structure
