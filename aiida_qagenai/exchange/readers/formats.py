"""Formats of structure files by their names, the record that each is read to, and archives of many files."""

from __future__ import annotations

import tarfile
import typing as t
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.readers.text import (
    COMPRESSIONS,
    Row,
    column_kinds,
    csv_reader,
    csv_rows,
    identifier_column,
    open_text,
)

__all__ = (
    'FORMATS',
    'FORMATS_AND_ARCHIVES',
    'RawRecord',
    'detect_format',
    'format_of',
    'is_archive',
    'pack_folder',
    'read_archive',
    'stem_of',
)

FORMATS = (
    '.cif, .vasp (or POSCAR), .xyz and .extxyz, .json and .jsonl (pymatgen, ASE, OPTIMADE), .csv (column cif or '
    'structure), .npz (packed), each also as .gz, .bz2 or .xz'
)
"""What can be read, for messages."""

FORMATS_AND_ARCHIVES = f'{FORMATS}; and .zip, .tar or .tar.gz of such files'
"""The same, where archives can be read as well."""

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


METADATA = 'metadata.csv'

Reader = Callable[[t.IO[bytes], str, str], Iterator[RawRecord]]
"""Reader of one file: of an open file, its format and its name."""


def pack_folder(folder: Path, path: Path) -> None:
    """Write the structure files and tables of a folder as one ZIP file, byte for byte reproducibly.

    :raises InvalidInputError: if there is no structure file.
    """
    files = sorted(file for file in folder.rglob('*') if file.is_file() and _is_member(file.name))
    if not any(file.name != METADATA for file in files):
        raise InvalidInputError(f'`{folder}` has no CIF files or others with structures: {FORMATS}')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())


def _is_member(name: str) -> bool:
    """Return whether a file in an archive or folder is read."""
    return format_of(name) is not None and not is_archive(name) and not PurePosixPath(name).name.startswith('.')


def read_archive(handle: t.IO[bytes], read: Reader, column: str | None) -> Iterator[RawRecord]:
    """Yield the records of the files of an archive in the order of their names, with their rows of `metadata.csv`.

    :param read: reader of one of its files.
    :param column: name of the column of identifiers in the metadata table.
    """
    with _Archive(handle) as archive:
        names = sorted(name for name in archive.names if _is_member(name))
        table = next((name for name in names if PurePosixPath(name).name == METADATA), None)
        metadata = None if table is None else _Metadata.read(archive, table, column)
        known = set()
        for name in names:
            if name == table:
                continue
            found = '' if metadata is None else metadata.identifier_of(stem_of(name))
            known.add(found)
            for record in _member(archive, name, read):
                yield record if metadata is None else metadata.add_to(record, found)
        for identifier, row in () if metadata is None else metadata.rows.items():
            if identifier not in known:
                problem = row.problem or f'there is no CIF file of `{identifier}`'
                yield RawRecord(f'{METADATA}, {row.place}', problem=problem)


def _member(archive: _Archive, name: str, read: Reader) -> Iterator[RawRecord]:
    """Yield the records of one file in an archive; one that cannot be read at all is a problem."""
    empty = True
    try:
        with archive.open(name) as handle:
            for record in read(handle, format_of(name) or '', name):
                empty = False
                yield record._replace(place=f'{name}, {record.place}' if record.place else name)
    except (InvalidInputError, CorruptFileError, zipfile.BadZipFile, RuntimeError) as exception:
        yield RawRecord(name, problem=str(exception))
    else:
        if empty:
            yield RawRecord(name, problem='it has no records')


class _Metadata(t.NamedTuple):
    """The table of an archive.

    :param rows: identifier → row.
    :param kinds: columns that hold numbers or truth values.
    """

    rows: dict[str, Row]
    kinds: dict[str, str]

    @classmethod
    def read(cls, archive: _Archive, name: str, asked: str | None) -> _Metadata:
        """Return the metadata table of an archive.

        :raises InvalidInputError: if it has no column of identifiers.
        """
        with archive.open(name) as handle:
            reader = csv_reader(open_text(handle))
            column = identifier_column(reader.fieldnames or (), asked)
            if column is None:
                message = (
                    f'{METADATA} has no column of identifiers, only {", ".join(map(repr, reader.fieldnames or ()))}'
                )
                raise InvalidInputError(message)
            kinds = column_kinds(reader, (column,))
            handle.seek(0)
            table: dict[str, Row] = {}
            for row in csv_rows(csv_reader(open_text(handle))):
                key = str(row.values.get(column) or f'({row.place})')
                differs = key in table and table[key].values != row.values
                table[key] = row._replace(problem='two different rows have this identifier') if differs else row
        return cls(table, kinds)

    def identifier_of(self, stem: str) -> str:
        """Return the identifier of a file: its stem, or the end of it behind an underscore (``oqmd_oqmd-12``)."""
        while stem and stem not in self.rows:
            stem = stem.partition('_')[2]
        return stem

    def add_to(self, record: RawRecord, identifier: str) -> RawRecord:
        """Return the record of a file that holds one structure with its row; others come with their own."""
        if record.problem or record.kind not in {'cif', 'poscar'} or record.identifier != record.name:
            return record
        if record.rows != ({},):
            return record
        if not identifier:
            return record._replace(problem=f'no row of {METADATA} has the identifier `{record.identifier}`')
        row = self.rows[identifier]
        return record._replace(
            place=f'{record.place}, {row.place}',
            identifier=identifier,
            name=identifier,
            rows=(row.values,),
            problem=row.problem,
            kinds=self.kinds,
        )


class _Archive:
    """The files of a ZIP or (compressed) TAR file."""

    def __init__(self, handle: t.IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(handle) if handle.read(2) == b'PK' else None
        handle.seek(0)
        self._tar = None if self._zip is not None else tarfile.open(fileobj=handle)  # noqa: SIM115
        self._members = {} if self._tar is None else {m.name: m for m in self._tar.getmembers() if m.isfile()}
        self.names = list(self._members) if self._zip is None else self._zip.namelist()

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in (self._zip, self._tar):
            if archive is not None:
                archive.close()

    def open(self, name: str) -> t.IO[bytes]:
        """Return a file, opened."""
        if self._zip is not None:
            return self._zip.open(name)
        assert self._tar is not None
        handle = self._tar.extractfile(self._members[name])
        assert handle is not None
        return handle
