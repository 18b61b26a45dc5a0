"""Pictures of the phonons of a run of free energies."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

__all__ = ('draw_phonons',)


def draw_phonons(outputs: dict[str, dict[str, t.Any]], picture: Path, *, labelled: bool) -> Iterator[Path]:
    """Write the phonon bands and density of states of every structure of a run, and return the paths.

    :param outputs: nested outputs of a ``FreeEnergyWorkChain``.
    :param labelled: whether the label of a structure is part of the name of its file.
    """
    from aiida_qagenai.thermodynamics.vibrations.plots import plot_phonons

    for label, node in outputs['phonons'].items():
        found = outputs['free_energies'][label].content
        arrays = {name: node.get_array(name) for name in node.get_arraynames()}
        yield plot_phonons(
            distances=arrays['band_distances'],
            frequencies=arrays['band_frequencies'],
            ticks=arrays['band_ticks'],
            labels=node.base.attributes.get('band_labels'),
            dos_frequencies=arrays['dos_frequencies'],
            dos=arrays['dos'],
            path=picture.with_name(f'{picture.stem}-{label}{picture.suffix}') if labelled else picture,
            title=f'{found.formula}, {found.potential}',
        )
