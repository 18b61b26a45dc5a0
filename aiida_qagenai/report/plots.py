"""A figure of a campaign with the table behind it, the query that gives it, and its words."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable

import pandas as pd

from aiida_qagenai.report.tables import Table
from aiida_qagenai.thermodynamics.hull.convex_hull import Phase

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('Plot', 'assemble', 'phases_of', 'query_text')


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure of a campaign.

    :param text: what the figure shows and how it is defined.
    :param query: the Python expression that gives the numbers.
    :param figure: None where there is nothing to draw yet.
    :param frame: the numbers, all of them.
    :param table: the first of them, for people.
    :param reason: why there is no figure.
    """

    name: str
    title: str
    text: str
    query: str
    figure: Figure | None
    frame: pd.DataFrame
    table: Table | None
    reason: str = ''


def query_text(function: str, campaign: int | str) -> str:
    """Return the Python expression that gives the numbers of a figure."""
    return f'aiida_qagenai.queries.figures.{function}({campaign!r})'


def assemble(
    name: str,
    title: str,
    text: str,
    query: str,
    frame: pd.DataFrame,
    *,
    draw: Callable[[], Figure],
    table: Callable[[], Table],
    reason: str,
) -> Plot:
    """Return a figure, or the reason why there is none where the frame has no rows.

    :param draw: called only if there is something to draw, as ``table`` is.
    """
    if not len(frame):
        return Plot(name, title, text, query, None, frame, None, reason)
    return Plot(name, title, text, query, draw(), frame, table())


def phases_of(table: pd.DataFrame, energy: str, level: str | None) -> list[Phase]:
    """Return a phase for each row: ``formula``, ``name``, and the column ``energy``, eV/atom."""
    columns = zip(table['formula'], table[energy], table['name'], strict=True)
    return [Phase(formula, value, identifier=name, level=level) for formula, value, name in columns]
