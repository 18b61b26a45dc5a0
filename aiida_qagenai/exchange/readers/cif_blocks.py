"""Blocks of a CIF: names and values, before anything is made of them."""

from __future__ import annotations

import math
import re
import typing as t
import warnings

from aiida_qagenai.common.errors import InvalidInputError, reported_as

__all__ = ('Block', 'parse_blocks')

_HEADER = re.compile(r'^[ \t]*data_(.*?)[ \t]*$', re.IGNORECASE | re.MULTILINE)
_ESD = re.compile(r'\(\d*\)$')
_UNKNOWN = frozenset({'?', '.', ''})


class Block(t.NamedTuple):
    """One block of a CIF.

    :param name: what follows ``data_``.
    :param values: name in lower case, with ``_`` for the dots of newer dictionaries → values; ``?`` is empty.
    :param warnings: what is not as the format wants it.
    """

    name: str
    values: dict[str, list[str]]
    warnings: tuple[str, ...] = ()

    def first(self, *names: str) -> str:
        """Return the first of these that has a value, or nothing."""
        for name in names:
            value = next((value for value in self.values.get(name, ()) if value), '')
            if value:
                return value
        return ''

    def number(self, *names: str) -> float | None:
        """Return the number under the first of these that has a value.

        :raises InvalidInputError: if it is not a number.
        """
        text = self.first(*names)
        return parse_value(names[0], text) if text else None

    @property
    def has_atoms(self) -> bool:
        """Return whether the block has coordinates of atoms."""
        return any(self.values.get('_atom_site_fract_x', ()))


def parse_value(name: str, text: str) -> float:
    """Return a number with or without its uncertainty in brackets, or a fraction.

    :raises InvalidInputError: if it is not one.
    """
    plain = _ESD.sub('', text.strip())
    numerator, _, denominator = plain.partition('/')
    try:
        value = float(numerator) / float(denominator) if denominator else float(plain)
    except (ValueError, ZeroDivisionError) as exception:
        raise InvalidInputError(f'`{name}` is {text!r:.40}, not a number') from exception
    if '_' in plain or math.isinf(value):
        raise InvalidInputError(f'`{name}` is {text!r:.40}, not a number')
    if math.isnan(value):
        raise InvalidInputError(f'a number is NaN (`{name}`)')
    return value


def parse_blocks(text: str) -> list[Block]:
    """Return the blocks of a CIF.

    :raises InvalidInputError: if it is not a CIF.
    """
    start = _HEADER.search(text)
    if start is None:
        raise InvalidInputError('it has no `data_` block')
    # a name with spaces, or none at all
    text = _HEADER.sub(
        lambda match: 'data_' + (re.sub(r'\s+', '_', match[1].strip()) or 'unnamed'), text[start.start() :]
    )
    text = re.sub(r'[^\t\n\x20-\x7e]', '?', text)
    try:
        return _parsed_by_gemmi(text)
    except InvalidInputError:
        raise
    except (RuntimeError, ValueError) as exception:
        return _parsed_by_pymatgen(text, str(exception).splitlines()[0])


def _parsed_by_gemmi(text: str) -> list[Block]:
    """Return the blocks of a CIF that keeps to the format."""
    from gemmi import cif

    blocks = []
    for block in cif.read_string(text, check_level=0):
        values: dict[str, list[str]] = {}
        for item in block:
            if item.pair is not None:
                tag, cell = t.cast('tuple[str, str]', item.pair)
                columns = {tag: [cell]}
            elif item.loop is not None:
                width, cells = item.loop.width(), list(t.cast('t.Iterable[str]', item.loop.values))
                columns = {tag: cells[index::width] for index, tag in enumerate(item.loop.tags)}
            else:
                continue
            for tag, found in columns.items():
                name = tag.lower().replace('.', '_')
                read = [cif.as_string(cell).strip() for cell in found]
                if values.setdefault(name, read) != read:
                    raise InvalidInputError(f'`{tag}` comes twice, with different values')
        blocks.append(Block(block.name, values))
    return blocks


def _parsed_by_pymatgen(text: str, problem: str) -> list[Block]:
    """Return the blocks of a CIF that a more tolerant parser can read."""
    from pymatgen.io.cif import CifFile

    # it raises whatever it meets
    with reported_as(f'it is not a CIF: {problem}', Exception), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        data = CifFile.from_str(text).data
    blocks = []
    for name, block in data.items():
        values = {
            str(tag).lower().replace('.', '_'): [
                '' if str(cell).strip() in _UNKNOWN else str(cell).strip()
                for cell in (found if isinstance(found, list) else [found])
            ]
            for tag, found in block.data.items()
        }
        blocks.append(Block(str(name), values, (f'it is not quite a CIF: {problem}',)))
    return blocks
