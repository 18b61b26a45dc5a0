"""What a table or a figure of the page is made of, and how stored lines of a benchmark are read."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

BENCHMARKS = Path(__file__).parents[1]
RECORDS = BENCHMARKS / 'records'
"""Lines of JSON that benchmarks printed, one file for each."""

NOT_MEASURED = 'not measured'


class NotMeasuredError(Exception):
    """There are no records of something."""


class Lines(dict[str, dict[str, t.Any]]):
    """What a benchmark printed, by the name of the figure."""

    def __missing__(self, name: str) -> t.NoReturn:
        """Say that a figure is not among the records."""
        raise NotMeasuredError(f'no record of {name}')


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with the paper's numbers beside ours.

    :param header: names of the columns.
    :param rows: cells, one list for each row; None is what was not measured.
    :param note: what must be known to read it, empty if nothing.
    """

    header: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    note: str = ''

    def text(self) -> str:
        """Return the table in Markdown."""
        lines = [self.header, tuple('---' for _ in self.header), *self.rows]
        body = '\n'.join('| ' + ' | '.join(cell(each) for each in line) + ' |' for line in lines)
        return body + (f'\n\n{self.note}' if self.note else '')


@dataclasses.dataclass(frozen=True)
class Item:
    """A table or a figure of the paper.

    :param name: as the paper has it, such as `Table 7`.
    :param title: of ours.
    :param command: that measures what is missing or measures it anew, empty if there is none yet.
    :param table: makes the table; raises :class:`NotMeasuredError` without records.
    :param draw: makes the picture, if there is one.
    """

    name: str
    title: str
    command: str
    table: Callable[[], Table] | None = None
    draw: Callable[[], Figure] | None = None

    @property
    def slug(self) -> str:
        """Return the name as a part of the name of a file."""
        return self.name.lower().replace(' ', '-')


def cell(value: object) -> str:
    """Return the text of a cell."""
    if value is None:
        return NOT_MEASURED
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def percent(value: float | None, interval: tuple[float, float] | None = None, digits: int = 1) -> str | None:
    """Return a share in per cent, with its interval."""
    if value is None:
        return None
    text = f'{100 * value:.{digits}f}'
    return text if interval is None else f'{text} ({100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f})'


def ratio(value: float, interval: tuple[float, float], digits: int = 2) -> str:
    """Return a ratio with its interval."""
    return f'{value:.{digits}f} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})'


def lines(name: str) -> Lines:
    """Return what a benchmark printed; what it did not is not measured.

    :raises NotMeasuredError: if nothing is stored.
    """
    path = RECORDS / f'{name}.jsonl'
    if not path.exists():
        raise NotMeasuredError(f'no records in {path.name}')
    found = (json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line.startswith('{'))
    return Lines((line['name'], line) for line in found)


def load(path: Path) -> t.Any:
    """Return the content of a file of records.

    :raises NotMeasuredError: if there is none.
    """
    if not path.exists():
        raise NotMeasuredError(f'no records in {path.name}')
    return json.loads(path.read_text(encoding='utf-8'))
