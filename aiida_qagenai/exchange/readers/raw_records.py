"""Streams of raw records from files: what the file holds, its place, and what is malformed.

A reader holds one record at a time (an archive also its metadata table) and never stops at a bad record: it yields it
with the problem. Structures are parsed by :mod:`aiida_qagenai.exchange.readers.structure_files`.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import tarfile
import typing as t
import zipfile
from collections.abc import Iterator

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.readers.formats import RawRecord, read_archive, stem_of
from aiida_qagenai.exchange.readers.json_files import json_record, optimade_record, read_items
from aiida_qagenai.exchange.readers.text import (
    DAMAGED,
    IDENTIFIERS,
    Row,
    column_kinds,
    csv_reader,
    csv_rows,
    decode,
    decompressed,
    identifier_column,
    open_text,
)
from aiida_qagenai.exchange.structures import StructureBatch

__all__ = ('FIDELITY', 'read_raw_records')

STRUCTURE_COLUMNS = ('cif', 'structure')
FIDELITY = 'fidelity'


class _Source(t.NamedTuple):
    """What the readers know of a file.

    :param stem: its name without the ending.
    :param column: the column of identifiers, if the user named one.
    """

    stem: str
    column: str | None


def read_raw_records(
    handle: t.IO[bytes], format_: str, name: str, *, column: str | None = None, identified: bool = False
) -> Iterator[RawRecord]:
    """Yield the records of an open binary file.

    A file that is truncated or damaged ends with a record that says so.

    :param name: of the file.
    :param column: name of the column of identifiers, where it is not one of the known ones.
    :param identified: whether a table without a column of identifiers is refused.
    :raises InvalidInputError: if it is not a table of structures, or a packed file is damaged.
    """
    place = 'the beginning'
    source = _Source(stem_of(name), column)
    try:
        for record in _READERS[format_](handle, source, identified):
            place = record.place
            yield record
    except (*DAMAGED, tarfile.TarError, zipfile.BadZipFile, csv.Error, NotImplementedError) as exception:
        yield RawRecord(f'after {place}', problem=f'the file is truncated or damaged from here on: {exception}')


def _csv(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    """Yield the rows of a table with a column `cif`, or `structure` as pymatgen writes it as JSON.

    With a column `fidelity`, rows of one structure follow each other and only the first needs the structure.
    """
    reader = csv_reader(open_text(handle))
    header = list(reader.fieldnames or ())
    column = next((name for name in STRUCTURE_COLUMNS if name in header), None)
    identifier = identifier_column(header, source.column)
    if column is None or (identifier is None and identified):
        missing = 'column `cif` or `structure`' if column is None else 'column of identifiers (name it in the settings)'
        raise InvalidInputError(f'the table has no {missing}, only {", ".join(map(repr, header)) or "nothing"}')
    try:
        kinds = column_kinds(reader, (column, identifier or ''))
    except (*DAMAGED, csv.Error):
        kinds = {}  # reported where the damage is, below
    handle.seek(0)
    reader = csv_reader(open_text(handle))
    table = _Table(column, identifier, kinds, source.stem)
    rows = csv_rows(reader)
    if FIDELITY not in header or identifier is None:
        for index, row in enumerate(rows):
            yield table.record([row], index)
        return
    groups = itertools.groupby(rows, key=lambda row: (row.values.get(identifier) or '', row.problem))
    for index, ((name, problem), group) in enumerate(groups):
        members = list(group)
        if problem or not name:
            yield from (table.record([row], index) for row in members)
            continue
        texts = {row.values[column] for row in members if row.values.get(column)}
        conflict = 'the rows of one structure hold different structures' if len(texts) > 1 else ''
        yield table.record([members[0]._replace(problem=conflict), *members[1:]], index)


class _Table(t.NamedTuple):
    """Meaning of the columns of a table."""

    column: str
    identifier: str | None
    kinds: dict[str, str]
    stem: str

    def record(self, rows: list[Row], index: int) -> RawRecord:
        """Return the record of the rows of one structure."""
        text = next((row.values[self.column] for row in rows if row.values.get(self.column)), '')
        name = '' if self.identifier is None else str(rows[0].values.get(self.identifier) or '')
        problem = rows[0].problem
        if not problem and not name and self.identifier is not None:
            problem = 'the identifier is empty'
        if not problem and not text:
            problem = f'`{self.column}` is empty'
        kept = tuple({key: value for key, value in row.values.items() if key != self.column} for row in rows)
        kind = 'cif' if self.column == 'cif' else 'pymatgen'
        place = rows[0].place
        return RawRecord(place, kind, text, name, kept, problem, name or f'{self.stem}#{index}', self.kinds)


def _cif(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    """Yield a CIF file, or the files of an archive."""
    magic = handle.read(512)
    handle.seek(0)
    if magic.startswith(b'PK') or _is_tar(handle):

        def read(member: t.IO[bytes], format_: str, name: str) -> Iterator[RawRecord]:
            return read_raw_records(member, format_, name, column=source.column, identified=identified)

        yield from read_archive(handle, read, source.column)
    else:
        yield RawRecord('', 'cif', decode(handle.read()), source.stem, ({},), name=source.stem)


def _is_tar(handle: t.IO[bytes]) -> bool:
    """Return whether an open file is a (compressed) TAR file."""
    try:
        beginning = decompressed(handle).read(512)
    except DAMAGED:
        return False
    finally:
        handle.seek(0)
    return beginning[257:262] == b'ustar'


def _poscar(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    yield RawRecord('', 'poscar', decode(handle.read()), source.stem, ({},), name=source.stem)


def _packed(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    batch = StructureBatch.load(handle)
    for index, structure in enumerate(batch.structures()):
        name = str(batch.identifiers[index])
        yield RawRecord(f'index {index}', 'packed', structure, name, ({},), name=name)


_COUNT = re.compile(r'\s*(\d{1,9})\s*', re.ASCII)


def _extxyz(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    """Yield the frames of an extended XYZ file; behind a malformed one, go on with the next that begins properly."""
    lines = enumerate(open_text(handle), start=1)
    index, skipping = 0, False
    for number, line in lines:
        if not line.strip():
            continue
        count = _COUNT.fullmatch(line)
        if count is None:
            if not skipping:
                yield RawRecord(f'line {number}', problem=f'expected a number of atoms, not {line.strip()[:40]!r}')
            skipping = True
            continue
        skipping = False
        size = int(count[1])
        frame = [line, *(text for _, text in itertools.islice(lines, size + 1))]
        place = f'line {number}, index {index}'
        if len(frame) < size + 2:
            yield RawRecord(place, problem=f'the file ends after {max(0, len(frame) - 2)} of {size} atoms')
            return
        name = f'{source.stem}#{index}'
        yield RawRecord(place, 'extxyz', ''.join(frame), name, ({},), name=name)
        index += 1


def _json(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    for index, item in enumerate(read_items(open_text(handle))):
        if item.problem:
            yield RawRecord(item.place, problem=item.problem)
            continue
        try:
            record = json_record(item.content)
        except InvalidInputError as exception:
            yield RawRecord(item.place, problem=str(exception))
            continue
        name = record.identifier or item.key or (source.stem if item.alone else '')
        problem = f'no identifier: none of {", ".join(IDENTIFIERS)}' if identified and not name else ''
        text = json.dumps(record.structure)
        unique = name or f'{source.stem}#{index}'
        yield RawRecord(item.place, record.kind, text, name, (record.fields,), problem, unique)


def _optimade(handle: t.IO[bytes], source: _Source, identified: bool) -> Iterator[RawRecord]:
    """Yield the structures of JSON lines, each a resource object as an OPTIMADE server returned it."""
    for number, line in enumerate(open_text(handle), start=1):
        place = f'line {number}'
        try:
            record = optimade_record(json.loads(line))
        except (ValueError, RecursionError) as exception:
            yield RawRecord(place, problem=f'not a resource of OPTIMADE: {exception}')
            continue
        name = record.identifier
        yield RawRecord(place, 'optimade', json.dumps(record.structure), name, (record.fields,), name=name)


_READERS: dict[str, t.Callable[[t.IO[bytes], _Source, bool], Iterator[RawRecord]]] = {
    'csv': _csv,
    'cif': _cif,
    'extxyz': _extxyz,
    'json': _json,
    'optimade': _optimade,
    'poscar': _poscar,
    'npz': _packed,
}
