"""Streams of raw records from files: what the file holds, its place, and what is malformed.

A reader holds one record at a time (an archive of CIF files also its metadata table) and never stops at a bad record:
it yields it with the problem. Structures are parsed by :mod:`aiida_qagenai.databases.sources.records`.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import tarfile
import typing as t
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.sources.settings import ImportSettings

__all__ = ('READERS', 'RawRecord', 'detect_format', 'pack_folder', 'read_records')

METADATA = 'metadata.csv'
STRUCTURE_COLUMNS = ('cif', 'structure')
IDENTIFIERS = ('identifier', 'material_id', 'entry_id', 'id', 'name')
FIDELITY = 'fidelity'
MAX_FIELD = 64_000_000
"""Characters in one field of a CSV file."""


class RawRecord(t.NamedTuple):
    """One record as it is in the source.

    :param place: where it is, for messages: ``line 12``.
    :param kind: how its structure is written: ``cif``, ``pymatgen``, ``extxyz``, ``optimade``.
    :param structure: text of the structure.
    :param rows: columns and their values; several rows where there is one per fidelity.
    :param problem: what is malformed; then nothing else counts.
    """

    place: str
    kind: str = ''
    structure: str = ''
    identifier: str = ''
    rows: tuple[dict[str, t.Any], ...] = ()
    problem: str = ''


def detect_format(path: Path) -> str:
    """Return the format of a file or folder by its name.

    :raises InvalidInputError: if it is not known.
    """
    if path.is_dir():
        return 'cif'
    names = {
        'csv': 'csv',
        'xyz': 'extxyz',
        'extxyz': 'extxyz',
        'json': 'json',
        'jsonl': 'json',
        'zip': 'cif',
        'tar': 'cif',
        'tgz': 'cif',
    }
    endings = [part.lower() for part in path.name.split('.')[1:]]
    if endings and endings[-1] == 'gz':
        endings.pop()
    if not endings or endings[-1] not in names:
        message = (
            f'cannot tell the format of `{path}`: known are .csv, .xyz, .extxyz, .json and .jsonl (each also .gz), a '
            'folder of CIF files, and such a folder as .zip, .tar or .tar.gz'
        )
        raise InvalidInputError(message)
    return names[endings[-1]]


def pack_folder(folder: Path, path: Path) -> None:
    """Write a folder of CIF files and its metadata table as one ZIP file, byte for byte reproducibly.

    :raises InvalidInputError: if there is no CIF file.
    """
    files = sorted(file for file in folder.rglob('*') if file.is_file() and file.suffix.lower() in {'.cif', '.csv'})
    if not any(file.suffix.lower() == '.cif' for file in files):
        message = f'`{folder}` has no CIF files'
        raise InvalidInputError(message)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())


def read_records(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the records of an open binary file in the format of ``settings``.

    A file that is truncated or damaged ends with a record that says so.
    """
    place = 'the beginning'
    try:
        for record in READERS[settings.format](handle, settings):
            place = record.place
            yield record
    except (EOFError, OSError, zlib.error, tarfile.TarError, zipfile.BadZipFile, csv.Error) as exception:
        yield RawRecord(f'after {place}', problem=f'the file is truncated or damaged from here on: {exception}')


def _text(handle: t.IO[bytes]) -> t.TextIO:
    """Return the text of a file that may be compressed; bytes that are no UTF-8 become replacement characters."""
    magic = handle.read(2)
    handle.seek(0)
    binary = t.cast(t.IO[bytes], gzip.GzipFile(fileobj=handle)) if magic == b'\x1f\x8b' else handle
    return io.TextIOWrapper(binary, encoding='utf-8-sig', errors='replace', newline='')


def _csv(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the rows of a table with a column `cif`, or `structure` as pymatgen writes it as JSON.

    With a column `fidelity`, rows of one structure follow each other and only the first needs the structure.
    """
    csv.field_size_limit(MAX_FIELD)
    reader = csv.DictReader(_text(handle))
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    column = next((name for name in STRUCTURE_COLUMNS if name in header), None)
    identifier = _identifier_column(header, settings)
    if column is None or identifier is None:
        missing = 'column `cif` or `structure`' if column is None else 'column of identifiers (name it in the settings)'
        message = f'the table has no {missing}, only {", ".join(map(repr, header)) or "nothing"}'
        raise InvalidInputError(message)
    rows = _csv_rows(reader)
    if FIDELITY not in header:
        for place, row, problem in rows:
            name = str(row.get(identifier) or '')
            yield _table_record(place, column, name, [row], problem)
        return
    for (name, problem), group in itertools.groupby(rows, key=lambda item: (item[1].get(identifier) or '', item[2])):
        members = list(group)
        if problem or not name:
            yield from (_table_record(place, column, name, [row], problem) for place, row, problem in members)
            continue
        texts = {row[column] for _, row, _ in members if row.get(column)}
        conflict = 'the rows of one structure hold different structures' if len(texts) > 1 else ''
        yield _table_record(members[0][0], column, name, [row for _, row, _ in members], conflict)


def _csv_rows(reader: csv.DictReader[str]) -> Iterator[tuple[str, dict[str, t.Any], str]]:
    """Yield place, row and problem; the place is the line in which the row begins."""
    start = reader.line_num + 1
    width = len(reader.fieldnames or ())
    while True:
        try:
            row: dict[t.Any, t.Any] = next(reader)
        except StopIteration:
            return
        place = f'line {start}'
        start = reader.line_num + 1
        problem = ''
        if None in row or None in row.values():
            problem = f'expected {width} columns as in the header'
        yield place, {name: value for name, value in row.items() if name}, problem


def _table_record(place: str, column: str, name: str, rows: list[dict[str, t.Any]], problem: str) -> RawRecord:
    """Return the record of the rows of one structure."""
    text = next((row[column] for row in rows if row.get(column)), '')
    if not problem and not name:
        problem = 'the identifier is empty'
    if not problem and not text:
        problem = f'`{column}` is empty'
    kept = tuple({key: value for key, value in row.items() if key != column} for row in rows)
    return RawRecord(place, 'cif' if column == 'cif' else 'pymatgen', text, name, kept, problem)


def _identifier_column(header: t.Collection[str], settings: ImportSettings) -> str | None:
    """Return the column of identifiers."""
    if settings.identifier is not None:
        return settings.identifier if settings.identifier in header else None
    return next((name for name in IDENTIFIERS if name in header), None)


def _cif(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the CIF files of an archive, in the order of their names, with their rows of `metadata.csv`."""
    with _Archive(handle) as archive:
        names = sorted(name for name in archive.names if name.lower().endswith('.cif'))
        table = next((name for name in sorted(archive.names) if PurePosixPath(name).name == METADATA), None)
        metadata = {} if table is None else _metadata(archive.read(table), settings)
        stems = {name: PurePosixPath(name).stem for name in names}
        known = set()
        for name in names:
            found = _metadata_of(stems[name], metadata)
            known.add(found)
            identifier = found or stems[name]
            place, row, problem = metadata.get(found, ('', {}, ''))
            if table is not None and not found:
                problem = f'no row of {METADATA} has the identifier `{stems[name]}`'
            text = archive.read(name).decode('utf-8', errors='replace')
            yield RawRecord(f'{name}{place and ", " + place}', 'cif', text, identifier, (row,), problem)
        for identifier, (place, _, problem) in metadata.items():
            if identifier not in known:
                yield RawRecord(f'{METADATA}, {place}', problem=problem or f'there is no CIF file of `{identifier}`')


def _metadata(content: bytes, settings: ImportSettings) -> dict[str, tuple[str, dict[str, t.Any], str]]:
    """Return identifier → place, row and problem of a metadata table."""
    reader = csv.DictReader(_text(io.BytesIO(content)))
    column = _identifier_column(reader.fieldnames or (), settings)
    if column is None:
        message = f'{METADATA} has no column of identifiers, only {", ".join(map(repr, reader.fieldnames or ()))}'
        raise InvalidInputError(message)
    table: dict[str, tuple[str, dict[str, t.Any], str]] = {}
    for place, row, problem in _csv_rows(reader):
        name = str(row.get(column) or f'({place})')
        differs = name in table and table[name][1] != row
        table[name] = (place, row, 'two different rows have this identifier' if differs else problem)
    return table


def _metadata_of(stem: str, metadata: t.Container[str]) -> str:
    """Return the identifier of a file: its stem, or the end of it behind an underscore (``oqmd_oqmd-12``)."""
    while stem and stem not in metadata:
        stem = stem.partition('_')[2]
    return stem


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

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        if self._zip is not None:
            return self._zip.read(name)
        assert self._tar is not None
        handle = self._tar.extractfile(self._members[name])
        assert handle is not None
        return handle.read()


def _extxyz(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the frames of an extended XYZ file; behind a malformed one, go on with the next that begins properly."""
    lines = enumerate(_text(handle), start=1)
    index, skipping = 0, False
    for number, line in lines:
        if not line.strip():
            continue
        if not line.strip().isdigit():
            if not skipping:
                yield RawRecord(f'line {number}', problem=f'expected a number of atoms, not {line.strip()[:40]!r}')
            skipping = True
            continue
        skipping = False
        frame = [line, *(text for _, text in itertools.islice(lines, int(line) + 1))]
        place = f'line {number}'
        if len(frame) < int(line) + 2:
            yield RawRecord(place, problem=f'the file ends after {len(frame) - 2} of {int(line)} atoms')
            return
        yield RawRecord(place, 'extxyz', ''.join(frame), f'#{index}', ({},))
        index += 1


def _json(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the entries of a JSON list, of its list `entries`, or of JSON lines: pymatgen entries or structures."""
    text = _text(handle)
    beginning = text.read(1)
    while beginning and beginning.isspace():
        beginning = text.read(1)
    if beginning == '[':
        yield from _json_list(text)
    elif beginning:
        yield from _json_lines(itertools.chain([beginning + text.readline()], text))


def _json_lines(lines: t.Iterable[str]) -> Iterator[RawRecord]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                content = json.loads(line)
            except json.JSONDecodeError as exception:
                yield RawRecord(f'line {number}', problem=f'not JSON: {exception}')
                continue
            yield _json_record(f'line {number}', content)


def _json_list(text: t.TextIO, chunk: int = 1 << 20) -> Iterator[RawRecord]:
    """Yield the objects of a list whose `[` was read, without holding the file."""
    decoder, buffer, line, size = json.JSONDecoder(), '', 1, chunk
    while True:
        stripped = buffer.lstrip(' \t\r\n,')
        line += buffer[: len(buffer) - len(stripped)].count('\n')
        buffer = stripped
        if buffer.startswith(']'):
            return
        try:
            content, end = decoder.raw_decode(buffer)
        except json.JSONDecodeError as exception:
            more = text.read(size)
            if not more:
                problem = f'not JSON from here on, or the file is truncated: {exception.msg}'
                yield RawRecord(f'line {line + exception.lineno - 1}', problem=problem)
                return
            buffer += more
            size *= 2  # an object of several chunks is decoded anew with each
            continue
        yield _json_record(f'line {line}', content)
        line += buffer[:end].count('\n')
        buffer, size = buffer[end:], chunk


def _json_record(place: str, content: t.Any) -> RawRecord:
    """Return the record of a pymatgen entry (structure, energy, data) or structure."""
    if not isinstance(content, dict):
        return RawRecord(place, problem=f'expected an object, not {type(content).__name__}')
    structure = content.get('structure', content if 'lattice' in content else None)
    if not isinstance(structure, dict):
        return RawRecord(place, problem='no `structure`: an entry needs one to be imported')
    fields = {} if structure is content else {key: value for key, value in content.items() if key != 'structure'}
    if isinstance(fields.get('data'), dict):
        fields = {**fields.pop('data'), **fields}
    if fields.get('energy') is not None:
        # pymatgen keeps corrections apart from the raw energy; the corrected one is what its hulls use
        try:
            fields['energy'] = float(fields['energy']) + float(fields.get('correction') or 0.0)
        except (TypeError, ValueError):
            return RawRecord(place, problem=f'`energy` or `correction` is no number: {fields["energy"]!r:.40}')
    name = next((str(fields[key]) for key in IDENTIFIERS if fields.get(key) not in (None, '')), '')
    problem = '' if name else f'no identifier: none of {", ".join(IDENTIFIERS)}'
    return RawRecord(place, 'pymatgen', json.dumps(structure), name, (fields,), problem)


def _optimade(handle: t.IO[bytes], settings: ImportSettings) -> Iterator[RawRecord]:
    """Yield the structures of JSON lines, each a resource object as an OPTIMADE server returned it."""
    for number, line in enumerate(_text(handle), start=1):
        try:
            resource = json.loads(line)
            attributes, name = dict(resource['attributes']), str(resource['id'])
        except (ValueError, KeyError, TypeError) as exception:
            yield RawRecord(f'line {number}', problem=f'not a resource of OPTIMADE: {exception!r}')
            continue
        structure = {key: attributes.pop(key, None) for key in OPTIMADE_FIELDS}
        yield RawRecord(f'line {number}', 'optimade', json.dumps(structure), name, (attributes,))


OPTIMADE_FIELDS = (
    'lattice_vectors',
    'cartesian_site_positions',
    'species_at_sites',
    'species',
    'dimension_types',
    'nsites',
)
"""What a structure of OPTIMADE needs."""

READERS: dict[str, t.Callable[[t.IO[bytes], ImportSettings], Iterator[RawRecord]]] = {
    'csv': _csv,
    'cif': _cif,
    'extxyz': _extxyz,
    'json': _json,
    'optimade': _optimade,
}
