"""The phonons of a crystal as a figure with its table."""

from __future__ import annotations

import typing as t

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_qagenai.report.plots import Plot, assemble
from aiida_qagenai.report.tables import make_table
from aiida_qagenai.thermodynamics.vibrations.plots import draw_phonons

__all__ = ('phonon_plot',)


def phonon_plot(node: t.Any, title: str) -> Plot:
    """Return the bands and the density of states of the phonons of one crystal.

    :param node: array node of a ``FreeEnergyWorkChain`` with the bands along a path, THz.
    """
    arrays = {name: node.get_array(name) for name in node.get_arraynames()}
    distances, frequencies, ticks = arrays['band_distances'], arrays['band_frequencies'], arrays['band_ticks']
    labels = list(node.base.attributes.get('band_labels'))
    number, branches = frequencies.shape
    frame = pd.DataFrame(
        {
            'distance': np.repeat(distances, branches),
            'branch': np.tile(np.arange(1, branches + 1), number),
            'frequency': frequencies.ravel(),
        }
    )
    ends = _ends(distances, frequencies, ticks, labels)
    shown = {'point': 'q-point', 'lowest': 'lowest (THz)', 'highest': 'highest (THz)'}
    query = f"aiida.orm.load_node('{node.uuid}').get_array('band_frequencies')"
    return assemble(
        'phonons',
        f'Phonons of {title}',
        'Frequencies along a path through the Brillouin zone, beside their density of states. Imaginary ones are below '
        'zero, in red: the crystal is not stable against such a movement of its atoms.',
        query,
        frame,
        draw=lambda: draw_phonons(
            distances=distances,
            frequencies=frequencies,
            ticks=ticks,
            labels=labels,
            dos_frequencies=arrays['dos_frequencies'],
            dos=arrays['dos'],
            title=title,
        ),
        table=lambda: make_table(ends, 'Frequencies at the points with a name', shown, {}, query=query),
        reason='there are no bands',
    )


def _ends(
    distances: NDArray[np.float64], frequencies: NDArray[np.float64], ticks: NDArray[np.float64], labels: list[str]
) -> pd.DataFrame:
    """Return the lowest and the highest frequency at each point of the path that has a name."""
    places = [int(abs(distances - tick).argmin()) for tick in ticks]
    lowest, highest = frequencies[places].min(axis=1), frequencies[places].max(axis=1)
    return pd.DataFrame({'point': labels, 'lowest': lowest, 'highest': highest})
