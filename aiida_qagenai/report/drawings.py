"""The figures that compare predictions with calculations, drawn from tables of ``queries.figures``."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np
import pandas as pd

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.plotting import (
    BLUE,
    COLOURS,
    GREY,
    LABEL_SIZE,
    MANY_POINTS,
    RED,
    label_points,
    new_figure,
    styled,
)
from aiida_qagenai.evaluation.uncertainty import coverage

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('draw_calibration', 'draw_cost', 'draw_discovery', 'draw_divergence', 'draw_parity')

WIDTH = 4.6
"""Of all figures, inch: their letters stay readable on a telephone."""

PROBABILITIES = np.linspace(0.05, 0.95, 19)


def _with_both(table: pd.DataFrame) -> pd.DataFrame:
    return table[np.isfinite(table['computed']) & np.isfinite(table['predicted'])]


def _rungs(table: pd.DataFrame) -> list[str]:
    present = set(table['fidelity'])
    return [level.value for level in LADDER if level.value in present]


def _diagonal(axes: t.Any, values: Sequence[float]) -> None:
    """Draw where both axes agree, and give both the same limits."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.1
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=0)
    axes.set(xlim=limits, ylim=limits)


@styled
def draw_parity(table: pd.DataFrame) -> Figure:
    """Return predicted over computed formation energies, one panel per rung, with the mean absolute error.

    :param table: ``fidelity``, ``computed``, ``predicted`` and ``sigma``, eV/atom.
    """
    data = _with_both(table)
    rungs = _rungs(data)
    columns = min(2, len(rungs))
    rows = -(-len(rungs) // columns)
    figure, panels = new_figure(WIDTH, 0.3 + 2.2 * rows, rows, columns, squeeze=False)
    for axes in panels.flat[len(rungs) :]:
        axes.set_visible(False)
    for axes, rung in zip(panels.flat, rungs, strict=False):
        part = data[data['fidelity'] == rung]
        many = len(part) > MANY_POINTS
        if not many:
            bars = part['sigma'].fillna(0.0)
            axes.errorbar(part['computed'], part['predicted'], bars, fmt='none', ecolor='#b0c4de', elinewidth=0.8)
        size = 3 if many else 14
        axes.scatter(part['computed'], part['predicted'], s=size, color=BLUE, linewidths=0, rasterized=many, zorder=3)
        _diagonal(axes, [*part['computed'], *part['predicted']])
        error = (part['predicted'] - part['computed']).abs().mean()
        axes.set_title(f'{rung}: MAE {error:.3f}, n = {len(part)}', fontsize=LABEL_SIZE)
        axes.locator_params(nbins=4)
    figure.supxlabel('computed formation energy (eV/atom)', fontsize=9)
    figure.supylabel('predicted before (eV/atom)', fontsize=9)
    return figure


@styled
def draw_calibration(table: pd.DataFrame) -> Figure:
    """Return which share of the errors lies within the predicted intervals of each probability, one line per rung.

    :param table: ``fidelity``, ``error`` and ``sigma``, eV/atom.
    """
    data = table[np.isfinite(table['error']) & (table['sigma'] > 0)]
    figure, axes = new_figure(WIDTH, 3.4)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, label='honest intervals', zorder=0)
    for colour, rung in zip(COLOURS, _rungs(data), strict=False):
        part = data[data['fidelity'] == rung]
        errors, sigmas = part['error'].to_numpy(float), part['sigma'].to_numpy(float)
        shares = [coverage(errors, sigmas, probability) for probability in PROBABILITIES]
        axes.plot(PROBABILITIES, shares, color=colour, marker='.', label=f'{rung} (n = {len(part)})')
    axes.set(
        xlabel='probability of the predicted interval (1)',
        ylabel='share of the errors within it (1)',
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )
    figure.legend(loc='outside lower center', ncols=2)
    return figure


@styled
def draw_divergence(table: pd.DataFrame) -> Figure:
    """Return the predicted over the computed divergence of the computed candidates (paper Figure 9).

    :param table: ``name``, ``formula``, ``top_fidelity``, ``computed``, ``predicted``, ``sigma`` (eV/atom), ``audit``.
    """
    data = _with_both(table)
    figure, axes = new_figure(WIDTH, 3.8)
    for audit, label, marker, colour in ((False, 'selected', 'o', BLUE), (True, 'audit (drawn at random)', 's', RED)):
        rows = data[data['audit'].astype(bool) == audit]
        if len(rows):
            x, y, bars = rows['computed'], rows['predicted'], rows['sigma'].fillna(0.0)
            axes.errorbar(x, y, bars, fmt=marker, color=colour, ecolor='#bbbbbb', elinewidth=0.8, label=label)
    _diagonal(axes, [*data['computed'], *data['predicted'], 0.0])
    top = ' or '.join(sorted(set(data['top_fidelity'])))
    axes.set(
        xlabel=f'computed D = |E$_f$(PBE) − E$_f$({top})| (eV/atom)',
        ylabel='predicted before (eV/atom)',
    )
    figure.legend(loc='outside lower center', ncols=2)
    names = [f'{formula} {name}' for formula, name in zip(data['formula'], data['name'], strict=True)]
    label_points(figure, axes, list(zip(data['computed'], data['predicted'], strict=True)), names)
    return figure


@styled
def draw_discovery(table: pd.DataFrame, top: str, limit: float) -> Figure:
    """Return how many discoveries a number of calculations at the top rung has made.

    :param table: ``call``, from 1, and ``discovered``, the discoveries made up to it.
    :param top: name of the rung.
    :param limit: largest distance to the hull of a discovery, eV/atom.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(WIDTH, 3.2)
    axes.step([0, *table['call']], [0, *table['discovered']], where='post', color=BLUE)
    axes.plot(
        [0, len(table)], [0, len(table)], color=GREY, linewidth=0.8, linestyle='--', label='every call a discovery'
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set(
        xlabel=f'{top} calculations of candidates (number)',
        ylabel=f'within {limit:g} eV/atom of the hull (number)',
    )
    axes.set_ylim(bottom=-0.03 * len(table))
    axes.legend(loc='upper left')
    return figure


@styled
def draw_cost(table: pd.DataFrame) -> Figure:
    """Return the core hours of each stage, by component.

    :param table: ``stage``, ``component`` and ``core_hours``.
    """
    sums = table.pivot_table(index='stage', columns='component', values='core_hours', aggfunc='sum', sort=False)
    sums = sums.fillna(0.0)
    figure, axes = new_figure(WIDTH, 1.3 + 0.3 * len(sums))
    left = np.zeros(len(sums))
    positions = np.arange(len(sums))[::-1]
    for colour, component in zip(COLOURS, sums.columns, strict=False):
        values = sums[component].to_numpy(float)
        axes.barh(positions, values, left=left, color=colour, height=0.7, label=component)
        left += values
    for position, total in zip(positions, left, strict=True):
        axes.annotate(f' {total:.3g}', (total, position), va='center', fontsize=LABEL_SIZE)
    axes.set_yticks(positions, list(sums.index))
    axes.set(xlabel='cost (core hours)', xlim=(0, 1.15 * max(left.max(), 1e-9)))
    figure.legend(loc='outside lower center', ncols=3)
    return figure
