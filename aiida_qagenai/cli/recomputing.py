"""Options with which energies by DFT end a search on potentials, and what is said about them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import load_code
from aiida_qagenai.cli.params import ENGINE_CODES, NODE, option, parse_settings, read_options, several

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_qagenai.workchains.recomputation import Recomputation

__all__ = ('DFT', 'energies_by_label', 'recomputation_of')

DFT = several(
    option('--dft', type=click.Choice(list(ENGINE_CODES)), help='Program that computes the best crystals at the end.'),
    option('--dft-code', metavar=NODE, help=f'Code of that engine; by default {" or ".join(ENGINE_CODES.values())}.'),
    option('--dft-protocol', metavar='NAME', help='Protocol of these energies, fast by default.'),
    option('--dft-set', 'dft_settings', multiple=True, metavar='KEY=VALUE', help='Change a setting of it. Repeatable.'),
)
"""Who computes energies by DFT; ``--set dft.max_crystals`` says of how many."""


def recomputation_of(
    dft: t.Literal['pyscf', 'espresso'] | None,
    *,
    dft_code: str | None,
    dft_protocol: str | None,
    dft_settings: tuple[str, ...],
    options: Path | None,
) -> Recomputation | None:
    """Return who computes energies by DFT, None if nobody does.

    :param options: file of scheduler options, whose section ``pyscf`` is for these jobs.
    """
    if dft is None:
        if dft_code or dft_protocol or dft_settings:
            raise click.UsageError('--dft-code, --dft-protocol and --dft-set need --dft')
        return None
    from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
    from aiida_qagenai.workchains.recomputation import Recomputation

    return Recomputation(
        load_code(dft_code or ENGINE_CODES[dft]),
        dft,
        dft_protocol or DEFAULT_PROTOCOL,
        overrides=parse_settings(dft_settings),
        options=read_options(options)['pyscf_options'],
    )


def energies_by_label(node: ProcessNode) -> dict[str, t.Any]:
    """Return the formation energies by DFT of a process, eV/atom, by the labels of the crystals."""
    from aiida_qagenai.calculations.functions.dataset import split_energy_label
    from aiida_qagenai.engine.resumable import nested_outputs

    energies = nested_outputs(node).get('energies', {})
    return {
        split_energy_label(name)[0]: energy.base.attributes.get('formation_energy_per_atom', None)
        for name, energy in energies.items()
    }
