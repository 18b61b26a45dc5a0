"""Pictures of free energies, phonons and paths."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aiida_qagenai.common.plotting import BLUE, GREY, RED, new_figure, picture_path, save_figure
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, METASTABLE_LIMIT

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('draw_phonons', 'plot_gibbs_energies', 'plot_gibbs_hull', 'plot_path')


def plot_gibbs_energies(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], path: str | os.PathLike[str], *, relative: bool = True
) -> Path:
    """Write Gibbs energies over the temperature.

    :param curves: name → temperatures (K) and Gibbs energies (eV/atom).
    :param relative: whether each starts from 0 at its lowest temperature, so that different phases fit one picture.
    :raises InvalidInputError: if there is no curve or the format is unknown.
    """
    shown = {
        name: (x, np.subtract(gibbs, np.ravel(gibbs)[0] if relative else 0.0)) for name, (x, gibbs) in curves.items()
    }
    label = 'G(T) − G(0) (eV/atom)' if relative else 'G (eV/atom)'
    figure, _, path = _lines(shown, path, 'temperature (K)', label)
    return save_figure(figure, path)


def plot_gibbs_hull(
    curves: Mapping[str, tuple[ArrayLike, Sequence[float | None]]], path: str | os.PathLike[str]
) -> Path:
    """Write decomposition energies over the temperature: below zero a phase is stable.

    :param curves: name → temperatures (K) and decomposition energies (eV/atom), None where undefined.
    :raises InvalidInputError: if there is no curve or the format is unknown.
    """
    shown = {name: (x, np.array(energies, dtype=np.float64)) for name, (x, energies) in curves.items()}
    figure, axes, path = _lines(shown, path, 'temperature (K)', 'decomposition energy (eV/atom)')
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    top = axes.get_ylim()[1]
    for limit, name in ((METASTABLE_LIMIT, 'metastable'), (MARGINAL_LIMIT, 'marginal')):
        if limit < top:
            axes.axhline(limit, color=GREY, linewidth=0.8, linestyle='--')
            axes.annotate(name, (0.99, limit), xycoords=('axes fraction', 'data'), ha='right', va='bottom')
    return save_figure(figure, path)


def draw_phonons(
    *,
    distances: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    ticks: NDArray[np.float64],
    labels: Sequence[str],
    dos_frequencies: NDArray[np.float64],
    dos: NDArray[np.float64],
    title: str = '',
) -> Figure:
    """Return phonon bands beside their density of states; imaginary modes are below zero, in red.

    :param distances: along the path in reciprocal space, shape (q,); ``frequencies`` (q, branches), THz.
    """
    from matplotlib.patches import Rectangle

    figure, (bands, density) = new_figure(6.0, 3.8, 1, 2, sharey=True, width_ratios=[3, 1])
    # Where the path jumps, the distance stays and the line must break.
    breaks = np.flatnonzero(np.diff(distances) < 1e-12) + 1
    lowest, width = 2 * min(float(frequencies.min()), 0.0), float(distances[-1] - distances[0])
    for part in np.split(np.arange(len(distances)), breaks):
        bands.plot(distances[part], frequencies[part], color=BLUE, lw=0.9)
        if lowest < 0:
            below = Rectangle((distances[0], lowest), width, -lowest, transform=bands.transData)
            for line in bands.plot(distances[part], frequencies[part], color=RED, lw=1.4):
                line.set_clip_path(below)
    for axes in (bands, density):
        axes.axhline(0.0, color=GREY, linewidth=0.8)
    for tick in ticks:
        bands.axvline(tick, color=GREY, linewidth=0.4)
    bands.set_xticks(ticks, labels)
    bands.set_xlim(distances[0], distances[-1])
    bands.set_ylabel('frequency (THz), imaginary below zero')
    density.plot(dos, dos_frequencies, color=BLUE, lw=0.9)
    density.fill_betweenx(dos_frequencies, 0, dos, where=dos_frequencies < 0, color=RED, alpha=0.5)
    density.set_xlim(left=0)
    density.set_xlabel('states (1/THz/atom)')
    if title:
        figure.suptitle(title)
    return figure


def plot_path(
    paths: Mapping[str, tuple[ArrayLike, ArrayLike]], path: str | os.PathLike[str], *, title: str = ''
) -> Path:
    """Write the energies along minimum-energy paths, with the barrier in the legend.

    :param paths: name → distances (Å) and energies (eV) of the images.
    :raises InvalidInputError: if there is no path or the format is unknown.
    """
    shown = {f'{name}: {np.max(y) - np.ravel(y)[0]:.3f} eV': (x, y) for name, (x, y) in paths.items()}
    figure, axes, path = _lines(shown, path, 'distance along the path (Å)', 'energy (eV)', marker='o')
    if title:
        axes.set_title(title)
    return save_figure(figure, path)


def _lines(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], path: str | os.PathLike[str], x: str, y: str, **options: t.Any
) -> tuple[Figure, t.Any, Path]:
    """Return a figure of ``curves`` with a legend, its axes, and the path that it may be written to."""
    path = picture_path(path, curves)
    figure, axes = new_figure(5.0, 3.6)
    for name, (values, energies) in curves.items():
        axes.plot(values, energies, label=name, **options)
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False)
    return figure, axes, path
