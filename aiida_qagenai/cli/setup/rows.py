"""Rows of the table of `aiida-qagenai setup`: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import typing as t

import click

__all__ = ('Row', 'State', 'print_rows', 'print_rows_as_json', 'problems')


class State(enum.StrEnum):
    """How one thing is: a note leaves something out of reach, a problem makes calculations fail."""

    OK = 'ok'
    NOTE = 'note'
    PROBLEM = 'problem'


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing that was looked at.

    :param section: heading under which the row is printed.
    :param found: one line.
    :param advice: one line on what to do; empty if there is nothing to do.
    """

    section: str
    name: str
    state: State
    found: str
    advice: str = ''


STYLES = {State.OK: 'green', State.NOTE: 'yellow', State.PROBLEM: 'bold red'}


def problems(rows: t.Iterable[Row]) -> list[Row]:
    """Return the rows that make calculations fail."""
    return [row for row in rows if row.state is State.PROBLEM]


def print_rows(rows: t.Sequence[Row]) -> None:
    """Print one table for people; what to do stands behind an arrow, on a line of its own."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ('', 'checked'):
        table.add_column(heading, no_wrap=True)
    table.add_column('found', overflow='fold')
    section = rows[0].section if rows else ''
    for row in rows:
        if row.section != section:
            section = row.section
            table.add_section()
        found = Text(row.found)
        if row.advice:
            found.append(f'\n→ {row.advice}', style='cyan')
        table.add_row(Text(row.state.value, style=STYLES[row.state]), Text(row.name), found)
    # Where the output is not a terminal, no command is broken into two lines.
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)


def print_rows_as_json(rows: t.Sequence[Row]) -> None:
    """Print a JSON list for programs."""
    click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
