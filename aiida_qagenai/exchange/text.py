"""Text of files that may be compressed and in any of the common encodings."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import typing as t
import zlib

__all__ = ('COMPRESSIONS', 'DAMAGED', 'decode', 'decompressed', 'open_text')

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
    """Return the encoding of a text: by its mark, or UTF-16 where every second byte is zero."""
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
