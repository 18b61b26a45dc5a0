"""The Pareto front of ordered crystals: what they miss of the constraints against their distance to the hull."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import (
    BLUE,
    GREY,
    LABEL_SIZE,
    RED,
    label_points,
    new_figure,
    picture_path,
    save_figure,
    styled,
)

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('draw_front', 'plot_front')


def plot_front(verdicts: Sequence[Mapping[str, t.Any]], path: Path, *, limit: float, note: str = '') -> Path:
    """Write the picture of :func:`draw_front`, PNG, SVG or PDF.

    :raises InvalidInputError: if the format is unknown, or no crystal has both a loss and a distance.
    """
    return save_figure(draw_front(verdicts, limit=limit, note=note), picture_path(path, verdicts))


@styled
def draw_front(verdicts: Sequence[Mapping[str, t.Any]], *, limit: float, note: str = '') -> Figure:
    """Return the distances to the hull over the losses of the constraints, with the front and its names.

    :param verdicts: records of ``evaluation.ordered.OrderedVerdict``.
    :param limit: distance to the hull that counts as near, eV/atom.
    :param note: written above, such as the error of the potential.
    :raises InvalidInputError: if no crystal has both a loss and a distance.
    """
    shown = [each for each in verdicts if each['loss'] is not None and each['e_above_hull'] is not None]
    if not shown:
        raise InvalidInputError('no crystal has both a loss and a distance to the hull: there is no front to draw')
    front = sorted((each for each in shown if each['on_front']), key=lambda each: float(each['loss']))
    figure, axes = new_figure(4.6, 3.8)
    for satisfied, name, colour, marker in ((True, 'satisfies all', BLUE, 'o'), (False, 'misses some', RED, 's')):
        rows = [each for each in shown if bool(each['satisfied']) == satisfied]
        if rows:
            x, y = ([each[key] for each in rows] for key in ('loss', 'e_above_hull'))
            bars = [each['e_above_hull_error'] or 0.0 for each in rows]
            axes.errorbar(x, y, bars, fmt=marker, color=colour, ecolor='#bbbbbb', elinewidth=0.8, label=name)
    points = np.array([[each['loss'], each['e_above_hull']] for each in front])
    axes.step(*points.T, where='post', color=GREY, linewidth=1.0, label='Pareto front', zorder=1)
    axes.axhline(limit, color=GREY, linewidth=0.8, linestyle=':', label=f'{limit:g} eV/atom')
    axes.margins(0.12)
    axes.set(xlabel='weighted loss of the constraints, relaxed (1)', ylabel='distance to the hull (eV/atom)')
    if note:
        axes.set_title(note, fontsize=LABEL_SIZE, wrap=True)
    figure.legend(loc='outside lower center', ncols=2)
    label_points(figure, axes, points.tolist(), [f'{each["formula"]} {each["name"]}' for each in front])
    return figure
