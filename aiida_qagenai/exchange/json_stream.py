"""Records of JSON files of any size: lists, JSON lines, and objects that hold a list or a mapping of records."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

__all__ = ('CONTAINERS', 'JsonItem', 'read_items')

CONTAINERS = ('entries', 'structures', 'data', 'results', 'materials', 'response', 'docs')
"""Keys of an object under which the list of its records may be."""

CHUNK = 1 << 20
_SPACE = ' \t\r\n'


class JsonItem(t.NamedTuple):
    """One item of a JSON file.

    :param place: for messages: ``line 12, index 3``.
    :param content: the decoded value.
    :param key: its key, where the file is a mapping of records.
    :param alone: whether it is the whole file, or one of its lines.
    :param problem: why it cannot be read; then nothing else counts.
    """

    place: str
    content: t.Any = None
    key: str = ''
    alone: bool = False
    problem: str = ''


class _Stream:
    """Text of which only the part that is being decoded is held."""

    def __init__(self, text: t.TextIO, chunk: int) -> None:
        self._text, self._chunk = text, chunk
        self._decoder = json.JSONDecoder()
        self._buffer, self._position = '', 0
        self.line = 1

    def _more(self, size: int) -> bool:
        """Read on; return whether there was anything."""
        added = self._text.read(size)
        self._buffer = self._buffer[self._position :] + added
        self._position = 0
        return bool(added)

    def _advance(self, end: int) -> None:
        self.line += self._buffer.count('\n', self._position, end)
        self._position = end

    def peek(self, skipped: str = _SPACE) -> str:
        """Return the next character behind those to skip, or nothing at the end of the file."""
        while True:
            end = self._position
            while end < len(self._buffer) and self._buffer[end] in skipped:
                end += 1
            self._advance(end)
            if end < len(self._buffer):
                return self._buffer[end]
            if not self._more(self._chunk):
                return ''

    def take(self, expected: str) -> None:
        """Skip one character that must come next.

        :raises ValueError: if another does.
        """
        if self.peek() != expected:
            message = f'not JSON from here on, or the file is truncated: expected {expected!r}'
            raise ValueError(message)
        self._advance(self._position + 1)

    def value(self) -> t.Any:
        """Return the next value.

        :raises ValueError: if there is none.
        """
        self.peek()
        size = self._chunk
        while True:
            try:
                content, end = self._decoder.raw_decode(self._buffer, self._position)
            except RecursionError as exception:
                message = 'not JSON: its brackets are nested too deeply'
                raise ValueError(message) from exception
            except ValueError as exception:
                if self._more(size):
                    size *= 2  # a value of several chunks is decoded anew with each
                    continue
                reason = exception.msg if isinstance(exception, json.JSONDecodeError) else exception
                self.line += getattr(exception, 'lineno', 1) - 1
                message = f'not JSON from here on, or the file is truncated: {reason}'
                raise ValueError(message) from exception
            # a number at the end of what was read may go on
            if end == len(self._buffer) and self._buffer[end - 1] not in '}]"' and self._more(size):
                continue
            self._advance(end)
            return content

    def skip_to_object(self) -> None:
        """Skip to the next line that begins with an object, as those of JSON lines do."""
        while True:
            end = self._buffer.find('\n{', self._position)
            if end >= 0:
                self._advance(end + 1)
                return
            self._advance(len(self._buffer))
            if not self._more(self._chunk):
                return
            if self._buffer.startswith('{') and self._position == 0:
                return


def read_items(text: t.TextIO, chunk: int = CHUNK) -> Iterator[JsonItem]:
    """Yield the records of a JSON file without holding it; a damaged one ends with an item that says so."""
    stream = _Stream(text, chunk)
    number = 0
    while stream.peek() != '':
        line = stream.line
        try:
            if stream.peek() == '[':
                yield from _listed(stream)
            elif stream.peek() == '{':
                yield from _object(stream, alone=number == 0)
            else:
                yield JsonItem(f'line {line}', problem=f'expected an object, not {type(stream.value()).__name__}')
        except ValueError as exception:
            yield JsonItem(f'line {line if number else stream.line}', problem=str(exception))
            stream.skip_to_object()
        number += 1


def _listed(stream: _Stream) -> Iterator[JsonItem]:
    """Yield the items of a list."""
    stream.take('[')
    index = 0
    while stream.peek(_SPACE + ',') != ']':
        line = stream.line
        content = stream.value()
        yield JsonItem(f'line {line}, index {index}', content)
        index += 1
    stream.take(']')


def _object(stream: _Stream, *, alone: bool) -> Iterator[JsonItem]:
    """Yield the records in an object: of a list under one of the known keys, of a mapping, or the object itself."""
    place = f'line {stream.line}'
    stream.take('{')
    content: dict[str, t.Any] = {}
    listed = False
    while stream.peek(_SPACE + ',') != '}':
        if stream.peek() != '"':
            stream.take('"')
        key = stream.value()
        stream.take(':')
        if key in CONTAINERS and stream.peek() == '[' and not content.keys() & _OWN_FIELDS:
            listed = True
            yield from _listed(stream)
        else:
            content[key] = stream.value()
    stream.take('}')
    if listed:
        return
    inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), dict)), content)
    if _is_mapping(inner):
        for key, value in inner.items():
            yield JsonItem(f'{place}, key `{key:.40}`', value, key=key)
    else:
        yield JsonItem(place, content, alone=alone)


_OWN_FIELDS = frozenset({'structure', 'lattice', 'sites', 'attributes', 'energy', '@class'})
"""Keys of a record itself, whose lists are no records."""


def _is_mapping(content: dict[str, t.Any]) -> bool:
    """Return whether an object holds records by their keys."""
    records = [value for value in content.values() if isinstance(value, dict) and _IDENTIFYING & value.keys()]
    return bool(records) and not _IDENTIFYING & content.keys()


_IDENTIFYING = frozenset({'structure', 'lattice', 'attributes', 'numbers', 'lattice_vectors', 'atoms', 'formula'})
"""Keys by which an object is known as a record."""
