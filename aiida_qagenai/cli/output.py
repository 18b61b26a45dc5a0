"""Tables for people, CSV and JSON for programs."""

from __future__ import annotations

import sys
import typing as t

import click

if t.TYPE_CHECKING:
    import pandas as pd

__all__ = ('columns', 'print_frame', 'print_table')

WIDTH_OF_FILES = 240
"""Characters per line where the output is not a terminal, so that no column is cut."""


def columns(text: str) -> dict[str, str]:
    """Return column → heading from a text such as ``formula, band_gap: gap eV, pk``; some are called as the column."""
    pairs = (column.partition(':') for column in text.split(','))
    return {name.strip(): (heading or name).strip() for name, _, heading in pairs}


def print_frame(frame: pd.DataFrame, fmt: str, shown: dict[str, str], title: str = '', footer: str = '') -> None:
    """Print a table of pandas.

    :param shown: columns shown in the format ``table`` → their headings; the other formats hold all columns.
    """
    if fmt == 'csv':
        click.echo(frame.to_csv(index=False), nl=False)
    elif fmt == 'json':
        click.echo(frame.to_json(orient='records', date_format='iso', indent=2))
    else:
        rows = frame[list(shown)].itertuples(index=False, name=None)
        print_table(list(shown.values()), rows, title=title)
        if footer:
            click.echo(footer)


def print_table(headings: list[str], rows: t.Iterable[tuple[t.Any, ...]], title: str = '') -> None:
    """Print rows for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=SIMPLE_HEAD, title_justify='left', pad_edge=False)
    texts = [[_text(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[index]) for row in texts) for index in range(len(headings))]
    for heading, right in zip(headings, numeric, strict=True):
        table.add_column(heading, justify='right' if right and texts else 'left', overflow='fold')
    for row in texts:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES, markup=False, highlight=False).print(table)


def _text(value: t.Any) -> str:
    """Return what people read: no missing values, three decimals, times without fractions of a second."""
    import numpy as np
    import pandas as pd

    if value is None or (not isinstance(value, list | tuple | dict) and pd.isna(value)):
        return ''
    if isinstance(value, bool | np.bool_):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.3f}'
    if hasattr(value, 'strftime'):
        return str(value.strftime('%Y-%m-%d %H:%M'))
    return str(value)


def _is_number(text: str) -> bool:
    return not text or text.lstrip('-').replace('.', '', 1).isdigit()
