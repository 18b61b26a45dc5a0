"""Files of the phonons of a run of free energies."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

__all__ = ('write_phonons',)


def write_phonons(outputs: dict[str, dict[str, t.Any]], path: Path, *, labelled: bool) -> Iterator[Path]:
    """Write the phonon bands and density of states of every structure of a run, and return the paths.

    :param outputs: nested outputs of a ``FreeEnergyWorkChain``.
    :param labelled: whether the label of a structure is part of the name of its file.
    """
    from aiida_qagenai.report.figures import save_plot
    from aiida_qagenai.report.phonons import phonon_plot

    for label, node in outputs['phonons'].items():
        found = outputs['free_energies'][label].content
        plot = phonon_plot(node, f'{found.formula}, {found.potential}')
        yield save_plot(plot, path.with_name(f'{path.stem}-{label}{path.suffix}') if labelled else path)
