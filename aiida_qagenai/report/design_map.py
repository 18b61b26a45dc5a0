"""The map of an inverse design: proposals of all rounds in the plane in which they differ most."""

from __future__ import annotations

import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import COLOURS, new_figure, picture_path, save_figure, styled

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aiida_qagenai.queries.designs import Proposals

__all__ = ('draw_map', 'plot_map', 'principal_plane')


def plot_map(proposals: Proposals, path: Path, *, label: str) -> Path:
    """Write the picture of :func:`draw_map`, PNG, SVG or PDF.

    :raises InvalidInputError: if the format is unknown, or there are fewer than three proposals.
    """
    return save_figure(draw_map(proposals, label=label), picture_path(path, proposals.round))


def principal_plane(latent: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the first two principal components of vectors, shape (n, 2), and their share of the variance.

    :param latent: shape (n, d), n ≥ 3.
    """
    centred = latent.astype(np.float64) - latent.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * singular[:2], float((singular[:2] ** 2).sum() / max((singular**2).sum(), 1e-300))


@styled
def draw_map(proposals: Proposals, *, label: str) -> Figure:
    """Return the proposals by their predicted property, and by their round.

    Circles are those whose tensors were computed, crosses in them those that have the modulus that is wanted.

    :param label: of the property.
    :raises InvalidInputError: if there are fewer than three proposals.
    """
    if len(proposals.round) < 3:
        raise InvalidInputError(f'a map needs three proposals or more, there are {len(proposals.round)}')
    points, share = principal_plane(proposals.latent)
    figure, (left, right) = new_figure(7.2, 3.4, 1, 2, sharex=True, sharey=True)
    shades = left.scatter(*points.T, c=proposals.predicted, s=10, cmap='viridis')
    figure.colorbar(shades, ax=left, label=label)
    for number in sorted(set(proposals.round.tolist())):
        mine = proposals.round == number
        right.scatter(*points[mine].T, s=10, color=COLOURS[number % len(COLOURS)], label=f'round {number}')
    for axes in (left, right):
        rings = {'facecolors': 'none', 'edgecolors': 'black', 'linewidths': 0.7}
        axes.scatter(*points[proposals.chosen].T, s=38, **rings, label='computed')
        if proposals.within.any():
            crosses = {'marker': 'x', 'color': 'black', 'linewidths': 0.7}
            axes.scatter(*points[proposals.within].T, s=38, **crosses, label='within the window')
        axes.set(xlabel='first principal component')
    left.set(ylabel=f'second ({100 * share:.0f} % of the variance in both)')
    figure.legend(*right.get_legend_handles_labels(), loc='outside lower center', ncols=4)
    return figure
