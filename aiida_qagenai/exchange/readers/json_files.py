"""Records of JSON files of any size, in the JSON of pymatgen, ASE, OPTIMADE and the databases that use them."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.exchange.readers.text import IDENTIFIERS, parse_number

__all__ = (
    'CONTAINERS',
    'OPTIMADE_FIELDS',
    'JsonItem',
    'JsonRecord',
    'entry_fields',
    'json_record',
    'optimade_record',
    'read_items',
)

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
            raise ValueError(f'not JSON from here on, or the file is truncated: expected {expected!r}')
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
                raise ValueError('not JSON: its brackets are nested too deeply') from exception
            except ValueError as exception:
                if self._more(size):
                    size *= 2  # a value of several chunks is decoded anew with each
                    continue
                reason = exception.msg if isinstance(exception, json.JSONDecodeError) else exception
                self.line += getattr(exception, 'lineno', 1) - 1
                raise ValueError(f'not JSON from here on, or the file is truncated: {reason}') from exception
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


OPTIMADE_FIELDS = (
    'lattice_vectors',
    'cartesian_site_positions',
    'species_at_sites',
    'species',
    'dimension_types',
    'nsites',
)
"""What a structure of OPTIMADE needs."""

_ASE_FIELDS = ('numbers', 'positions', 'cell', 'pbc')

_ALIASES = {'e_form': 'formation_energy_per_atom', 'formation_energy_peratom': 'formation_energy_per_atom'}
"""Names of energies in Alexandria and JARVIS, both eV/atom."""


class JsonRecord(t.NamedTuple):
    """One record.

    :param kind: how the structure is written: ``pymatgen``, ``ase``, ``jarvis`` or ``optimade``.
    :param structure: it, as JSON has it.
    :param fields: all else.
    """

    kind: str
    structure: dict[str, t.Any]
    fields: dict[str, t.Any]
    identifier: str


def json_record(content: t.Any) -> JsonRecord:
    """Return the record in an object: an entry or document with a structure, or a structure itself.

    :raises InvalidInputError: if it holds none, or its energy is not a number.
    """
    if not isinstance(content, dict):
        raise InvalidInputError(f'expected an object, not {type(content).__name__}')
    if isinstance(content.get('attributes'), dict) and 'lattice_vectors' in content['attributes']:
        return optimade_record(content)
    if 'lattice_vectors' in content and 'species_at_sites' in content:
        return optimade_record({'id': content.get('id', ''), 'attributes': content})
    if 'numbers' in content and 'positions' in content:
        fields = {key: value for key, value in content.items() if key not in _ASE_FIELDS and key != 'data'}
        own = {**fields.pop('key_value_pairs', {}), **(content.get('data') or {}), **fields}
        return JsonRecord('ase', {key: content.get(key) for key in _ASE_FIELDS}, own, _identifier(own))
    if isinstance(atoms := content.get('atoms'), dict):
        fields = {_ALIASES.get(key, key): value for key, value in content.items() if key != 'atoms'}
        return JsonRecord('jarvis', atoms, fields, _identifier(fields))
    structure = content.get('structure', content if 'lattice' in content else None)
    if not isinstance(structure, dict):
        raise InvalidInputError('no `structure`: an entry needs one to be imported')
    fields = {} if structure is content else _entry_fields(content)
    return JsonRecord('pymatgen', structure, fields, _identifier(fields))


def optimade_record(resource: t.Any) -> JsonRecord:
    """Return the record in a resource object as an OPTIMADE server returned it.

    :raises InvalidInputError: if it is not one.
    """
    try:
        attributes, name = dict(resource['attributes']), str(resource['id'])
    except (ValueError, KeyError, TypeError) as exception:
        raise InvalidInputError(f'not a resource of OPTIMADE: {exception!r}') from exception
    structure = {key: attributes.pop(key, None) for key in OPTIMADE_FIELDS}
    return JsonRecord('optimade', structure, attributes, name)


def _identifier(fields: t.Mapping[str, t.Any]) -> str:
    return next((str(fields[key]) for key in IDENTIFIERS if fields.get(key) not in (None, '')), '')


def _entry_fields(content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the fields of an entry beside its structure: those of `data` too, and the corrected energy."""
    fields = {key: value for key, value in content.items() if key != 'structure'}
    if isinstance(fields.get('data'), dict):
        fields = {**fields.pop('data'), **{key: value for key, value in fields.items() if value is not None}}
    for name, meaning in _ALIASES.items():
        if name in fields and meaning not in fields:
            fields[meaning] = fields.pop(name)
    if fields.get('energy') is not None:
        # pymatgen keeps corrections apart from the raw energy; the corrected one is what its hulls use
        message = f'`energy` or `correction` is not a number: {fields["energy"]!r:.40}'
        with reported_as(message, TypeError, ValueError, OverflowError):
            fields['energy'] = float(fields['energy']) + float(fields.get('correction') or 0.0)
    return fields


def entry_fields(content: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the columns of a table of phases in one object: as they are, or those of a pymatgen entry.

    :raises InvalidInputError: if the entry has no composition or its energy is not a number.
    """
    composition = content.get('composition')
    if not isinstance(composition, dict) and not isinstance(content.get('structure'), dict):
        return content
    fields = _entry_fields(content)
    amounts = composition if isinstance(composition, dict) else _amounts(content['structure'])
    with reported_as(f'the composition is {amounts!r:.60}', TypeError, ValueError):
        amounts = {str(element): float(amount) for element, amount in amounts.items()}
    energy = parse_number('energy', fields.get('energy'))
    total = sum(amounts.values())
    if energy is not None and total > 0:
        fields.setdefault('energy_per_atom', energy / total)
    return {**fields, 'formula': ''.join(f'{element}{amount:.10g}' for element, amount in amounts.items())}


def _amounts(structure: dict[str, t.Any]) -> dict[str, float]:
    amounts: dict[str, float] = {}
    try:
        for site in structure['sites']:
            for species in site['species']:
                amounts[species['element']] = amounts.get(species['element'], 0.0) + float(species['occu'])
    except (KeyError, TypeError, ValueError) as exception:
        raise InvalidInputError(f'not a structure as pymatgen writes it ({exception!r})') from exception
    return amounts
