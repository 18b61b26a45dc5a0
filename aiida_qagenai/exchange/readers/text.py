"""Text of files that may be compressed and in any of the common encodings, and rows of CSV tables."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import math
import re
import typing as t
import zlib
from collections.abc import Collection, Iterator

from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'COMPRESSIONS',
    'DAMAGED',
    'IDENTIFIERS',
    'Row',
    'column_kinds',
    'csv_reader',
    'csv_rows',
    'decode',
    'decompressed',
    'identifier_column',
    'open_text',
    'parse_number',
    'plain_value',
)

COMPRESSIONS = ('gz', 'bz2', 'xz')
"""Endings of compressed files."""

DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a truncated or damaged compressed file raises."""

_MARKS = (
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    """Return the bytes that are not UTF-8 as Latin-1, which they most often are."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if error.encoding.lower().replace('-', '') not in {'utf8', 'utf8sig'}:
        return '\ufffd' * (error.end - error.start), error.end
    return error.object[error.start : error.end].decode('latin-1'), error.end


codecs.register_error('qagenai-latin-1', _as_latin1)


def decompressed(handle: t.IO[bytes]) -> t.IO[bytes]:
    """Return the content of an open file, decompressed if it is a gzip, bzip2 or xz file."""
    magic = handle.read(6)
    handle.seek(0)
    if magic.startswith(b'\x1f\x8b'):
        return t.cast('t.IO[bytes]', gzip.GzipFile(fileobj=handle))
    if magic.startswith(b'BZh'):
        return t.cast('t.IO[bytes]', bz2.BZ2File(handle))
    if magic == b'\xfd7zXZ\x00':
        return t.cast('t.IO[bytes]', lzma.LZMAFile(handle))
    return handle


def _encoding(beginning: bytes) -> str:
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    pairs = beginning[: len(beginning) // 2 * 2]
    if len(pairs) >= 8 and not any(pairs[1::2]) and all(pairs[::2]):
        return 'utf-16-le'
    if len(pairs) >= 8 and not any(pairs[::2]) and all(pairs[1::2]):
        return 'utf-16-be'
    return 'utf-8-sig'


class _Borrowed(io.RawIOBase):
    """Bytes of a file that belongs to somebody else, who closes it."""

    def __init__(self, handle: t.IO[bytes]) -> None:
        self._handle = handle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        # what comes before the damage is read, where a file is truncated
        read = getattr(self._handle, 'read1', self._handle.read)
        content: bytes = read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def open_text(handle: t.IO[bytes]) -> t.TextIO:
    """Return the text of an open file, read as it is needed; line ends stay as they are."""
    binary = io.BufferedReader(_Borrowed(decompressed(handle)), 1 << 13)
    encoding = _encoding(binary.peek(64)[:64])
    return io.TextIOWrapper(binary, encoding=encoding, errors='qagenai-latin-1', newline='')


def decode(content: bytes) -> str:
    """Return the text of a whole file, with line ends as in Unix."""
    text = open_text(io.BytesIO(content)).read()
    return text.replace('\r\n', '\n').replace('\r', '\n')


IDENTIFIERS = ('identifier', 'material_id', 'mat_id', 'entry_id', 'id', 'immutable_id', 'jid', 'name')
"""Columns that may identify a record, the first of which that is there counts."""

MAX_FIELD = 64_000_000
"""Characters in one field."""

_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?', re.ASCII)
_INTEGER = re.compile(r'-?(0|[1-9]\d{0,14})', re.ASCII)
_DECIMAL = re.compile(r'-?(0|[1-9]\d*)(\.\d*)?([eE][+-]\d+)?|-?(0|[1-9]\d*)?\.\d+([eE][+-]?\d+)?', re.ASCII)
_NAMING = re.compile(r'(^|_)(id|ids|code|name|formula|label|identifier|symbol|doi)$', re.IGNORECASE)
_MISSING = frozenset({'', 'nan', 'none', 'null', 'n/a'})


class Row(t.NamedTuple):
    """One row of a table.

    :param place: the line in which the row begins.
    :param values: column → text.
    :param problem: why it is malformed; then the values are not those of their columns.
    """

    place: str
    values: dict[str, t.Any]
    problem: str = ''


def csv_reader(text: t.TextIO) -> csv.DictReader[str]:
    """Return a reader of a CSV file, with the header stripped of spaces.

    :raises InvalidInputError: if two columns have one name.
    """
    csv.field_size_limit(MAX_FIELD)
    reader = csv.DictReader(text)
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InvalidInputError(f'the table has two columns {", ".join(map(repr, twice))}')
    return reader


def csv_rows(reader: csv.DictReader[str]) -> Iterator[Row]:
    """Yield the rows of a table."""
    start = reader.line_num + 1
    width = len(reader.fieldnames or ())
    while True:
        try:
            row: dict[t.Any, t.Any] = next(reader)
        except StopIteration:
            return
        place = f'line {start}'
        start = reader.line_num + 1
        wrong = None in row or None in row.values()
        problem = f'expected {width} columns as in the header' if wrong else ''
        yield Row(place, {name: value for name, value in row.items() if name}, problem)


def identifier_column(header: t.Collection[str], asked: str | None) -> str | None:
    """Return the column of identifiers: the one asked for, or the first known one."""
    if asked is not None:
        return asked if asked in header else None
    return next((name for name in IDENTIFIERS if name in header), None)


def column_kinds(reader: csv.DictReader[str], skipped: Collection[str] = ()) -> dict[str, str]:
    """Return the columns that hold only numbers (``number``) or only truth values (``truth``), reading to the end.

    A column with one other text is text throughout: ``NaN`` beside ``LiH`` is sodium nitride, ``012345`` and ``12e5``
    are names.
    """
    kinds: dict[str, set[str]] = {name: set() for name in reader.fieldnames or () if name and name not in skipped}
    for row in csv_rows(reader):
        if not row.problem:
            for name in list(kinds):
                kinds[name].add(_kind(name, row.values[name]))
                if 'text' in kinds[name]:
                    del kinds[name]
    found = {name: seen - {'missing'} for name, seen in kinds.items()}
    return {name: next(iter(seen)) for name, seen in found.items() if len(seen) == 1}


def _kind(name: str, text: str) -> str:
    text = text.strip()
    if text in {'True', 'False'}:
        return 'truth'
    if text.lower() in _MISSING:
        return 'missing'
    pattern = _INTEGER if _NAMING.search(name) else _DECIMAL
    return 'number' if pattern.fullmatch(text) and math.isfinite(float(text)) else 'text'


def plain_value(text: str, kind: str | None) -> t.Any:
    """Return the value of a cell in a column of that kind, ``None`` where it is missing."""
    text = text.strip()
    if kind is None:
        return text or None
    if text.lower() in _MISSING:
        return None
    if kind == 'truth':
        return text == 'True'
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def parse_number(name: str, value: t.Any) -> float | None:
    """Return a number that is finite, or ``None`` where it is missing.

    :raises InvalidInputError: if it is something else.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return None
    if isinstance(value, str):
        number = float(value) if _NUMBER.fullmatch(value.strip()) else math.inf
    else:
        number = math.inf
        with contextlib.suppress(OverflowError):  # an integer of JSON has any number of digits
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise InvalidInputError(f'`{name}` is {value!r:.40}, not a number')
    return number
