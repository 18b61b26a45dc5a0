"""Tables of a report whose numbers say which node and which query they come from."""

from __future__ import annotations

import dataclasses
import math
import typing as t
from collections.abc import Mapping, Sequence

import pandas as pd

__all__ = ('ROWS', 'Cell', 'Table', 'cell', 'make_table', 'node_query')

ROWS = 30
"""Rows of a table on a page; the files hold all."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one cell of a table shows.

    :param source: the uuid and the query behind the value, one a line; empty for what needs none.
    """

    text: str
    source: str = ''
    number: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table for people.

    :param note: what the table leaves out.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ''


def node_query(uuid: str, attribute: str) -> str:
    """Return the query that reads an attribute of a node."""
    return f"aiida.orm.load_node('{uuid}').base.attributes.get('{attribute}')"


def cell(value: t.Any, uuid: str | None = None, query: str = '') -> Cell:
    """Return a cell, with an en dash for a missing value.

    :param query: an attribute of the node with the uuid; without a uuid, a whole query.
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell('–')
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = {True: 'yes', False: 'no'}[value] if isinstance(value, bool) else _text(value)
    if isinstance(uuid, str) and uuid:
        return Cell(text, f'node {uuid}\n{node_query(uuid, query) if query else ""}'.strip(), number)
    return Cell(text, query, number)


def _text(value: t.Any) -> str:
    if isinstance(value, float):
        return f'{value:.3f}' if abs(value) >= 5e-4 or value == 0 else f'{value:.1e}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def make_table(
    frame: pd.DataFrame,
    caption: str,
    shown: Mapping[str, str],
    sources: Mapping[str, tuple[str, str]],
    *,
    query: str = '',
    rows: int = ROWS,
) -> Table:
    """Return the first rows of a frame as a table.

    :param shown: columns → headings, with units.
    :param sources: column → column with the uuid of its node, and attribute of that node.
    :param query: what all other numbers come from.
    """
    listed = []
    for record in _plain(frame.head(rows)):
        cells = []
        for name in shown:
            uuid, attribute = sources.get(name, ('', ''))
            if uuid:
                cells.append(cell(record[name], record[uuid], attribute))
            else:
                cells.append(cell(record[name], None, query if isinstance(record[name], int | float) else ''))
        listed.append(tuple(cells))
    note = f'The first {rows} of {len(frame):,} rows.' if len(frame) > rows else ''
    return Table(caption, tuple(shown.values()), tuple(listed), note)


def _plain(frame: pd.DataFrame) -> Sequence[dict[str, t.Any]]:
    """Return rows of plain Python values."""
    columns = {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame.columns}
    plain = {
        name: [getattr(value, 'item', lambda v=value: v)() for value in values] for name, values in columns.items()
    }
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)] if plain else []
