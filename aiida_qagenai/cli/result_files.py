"""Folders of results of commands on crystals in files, which go on where they were cut."""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.readers.structure_files import NamedStructure

__all__ = ('Records', 'claim', 'extxyz', 'problem_of', 'write_text')

REQUEST = 'request.json'

Records = list[dict[str, t.Any]]


def problem_of(structure: Structure) -> str:
    """Return why a crystal cannot be computed, empty if it can."""
    from aiida_qagenai.chemistry.geometry import structure_problem

    return structure_problem(structure) or ''


def claim(work: Path, config: dict[str, t.Any], items: Sequence[NamedStructure], *, overwrite: bool) -> None:
    """Write what is asked for into the subfolder `work` of the results, unless they are those of another command.

    :raises InvalidInputError: if it does, or files of others.
    """
    from aiida_qagenai.exchange.structures import StructureBatch

    batch = StructureBatch.from_structures([item.structure for item in items], [item.name for item in items])
    content = hashlib.sha256(b''.join(array.tobytes() for array in (batch.cells, batch.species, batch.fractional)))
    where = {key: config[key] for key in config if key not in ('device', 'num_threads')}
    request = json.dumps({'crystals_sha256': content.hexdigest(), **where}, indent=1, sort_keys=True) + '\n'
    path, output = work / REQUEST, work.parent
    known = path.read_text(encoding='utf8') if path.exists() else None
    if known != request and output.exists() and any(output.iterdir()) and not overwrite:
        what = 'the results of another command' if known else 'files'
        message = f'`{output}` holds {what}: choose another folder, or replace them with --overwrite'
        raise InvalidInputError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(request, encoding='utf8')
    batch.save(path.parent / 'structures.npz')


def extxyz(records: Records, relaxed: Sequence[Structure], potential: str) -> str:
    """Return the crystals as extxyz, each with its row of the table."""
    import io

    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    images = []
    for record, structure in zip(records, relaxed, strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = None
        atoms.info = {key: value for key, value in record.items() if value not in (None, '')} | {'potential': potential}
        images.append(atoms)
    text = io.StringIO()
    write(text, images, format='extxyz')
    return text.getvalue()


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file at once, unless it is there with another content.

    :raises InvalidInputError: if it is, and is not to be replaced.
    """
    if path.exists() and path.read_text(encoding='utf8') != text and not overwrite:
        raise InvalidInputError(f'`{path}` was changed since it was written: keep it elsewhere, or say --overwrite')
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, encoding='utf8')
    partial.replace(path)
