"""Formats of structure files, by their names, and the record that each of them is read to."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.text import COMPRESSIONS

__all__ = ('FORMATS', 'RawRecord', 'detect_format', 'format_of', 'is_archive', 'stem_of')

FORMATS = (
    '.cif, .vasp (or POSCAR), .xyz and .extxyz, .json and .jsonl (pymatgen, ASE, OPTIMADE), .csv (column cif or '
    'structure), .npz (packed), each also as .gz, .bz2 or .xz'
)
"""What can be read, for messages."""

_ENDINGS = {
    'csv': 'csv',
    'xyz': 'extxyz',
    'extxyz': 'extxyz',
    'json': 'json',
    'jsonl': 'json',
    'cif': 'cif',
    'mcif': 'cif',
    'vasp': 'poscar',
    'poscar': 'poscar',
    'npz': 'npz',
}
_ARCHIVES = ('zip', 'tar', 'tgz', 'tbz2', 'txz')


class RawRecord(t.NamedTuple):
    """One record as it is in the source.

    :param place: where it is, for messages: ``line 12``.
    :param kind: how its structure is written: ``cif``, ``poscar``, ``extxyz``, ``pymatgen``, ``ase``, ``jarvis``,
        ``optimade``, or ``packed`` (read already).
    :param structure: text of the structure.
    :param identifier: the one that the source gives, or the name of a file that holds one record.
    :param rows: columns and their values; several rows where there is one per fidelity.
    :param problem: what is malformed; then nothing else counts.
    :param name: a name within the file, where there is no identifier.
    :param kinds: columns of a table that hold numbers or truth values; the others are text.
    """

    place: str
    kind: str = ''
    structure: t.Any = ''
    identifier: str = ''
    rows: tuple[dict[str, t.Any], ...] = ()
    problem: str = ''
    name: str = ''
    kinds: Mapping[str, str] | None = None


def stem_of(name: str) -> str:
    """Return a file name without its folder and endings that say its format."""
    stem = PurePosixPath(name).name
    while (ending := stem.rpartition('.')[2].lower()) in {*COMPRESSIONS, *_ENDINGS, *_ARCHIVES} and '.' in stem[1:]:
        stem = stem[: -len(ending) - 1]
    return stem


def format_of(name: str) -> str | None:
    """Return the format of a file by its name, ``None`` if it is not known."""
    base = PurePosixPath(name).name
    endings = [part.lower() for part in base.split('.')[1:]]
    if endings and endings[-1] in COMPRESSIONS:
        endings.pop()
    if endings and endings[-1] in _ARCHIVES:
        return 'cif'
    if endings and endings[-1] in _ENDINGS:
        return _ENDINGS[endings[-1]]
    return 'poscar' if base.upper().startswith(('POSCAR', 'CONTCAR')) else None


def is_archive(name: str) -> bool:
    """Return whether a file holds others, by its name."""
    endings = [part.lower() for part in name.split('.')[1:]]
    return bool(endings) and (endings[-1] in _ARCHIVES or endings[-2:-1] == ['tar'])


def detect_format(path: Path) -> str:
    """Return the format of a file, or of a folder or archive of structure files.

    :raises InvalidInputError: if it is not known.
    """
    format_ = 'cif' if path.is_dir() else format_of(path.name)
    if format_ is None:
        message = (
            f'cannot tell the format of `{path}`: known are {FORMATS}; a folder of such files, and such a folder as '
            '.zip, .tar or .tar.gz'
        )
        raise InvalidInputError(message)
    return format_
