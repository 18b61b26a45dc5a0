"""`aiida-qagenai barrier`: barriers of hops and other paths, run and shown."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun, add_continue, add_protocols, launch
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_process, load_structure
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    CHEMICAL_SYSTEM,
    FORMAT,
    PICTURE,
    PROCESS,
    STRUCTURE,
    option,
    parse_settings,
    potential_options,
)

__all__ = ('barrier',)

barrier = Noun('barrier', help='Compute the barriers of hops and other paths.')
add_continue(barrier, 'BarrierWorkChain')
add_protocols(barrier, 'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'free energies and barriers')

COLUMNS = columns(
    'label, length: hop Å, multiplicity: equivalent, barrier_forward: barrier eV, barrier_reverse: reverse eV, '
    'reaction_energy: end − start eV, single_barrier: one barrier, max_force: force eV/Å, pk'
)
LISTED = columns(
    'formula, potential, barrier_forward: barrier eV, barrier_reverse: reverse eV, single_barrier: one barrier, '
    'created, pk'
)


@barrier.command('run')
@click.argument('structure', required=False, metavar=f'[{STRUCTURE}]')
@option('--species', help='Element of the structure that hops into a vacancy.')
@option('--initial', metavar=STRUCTURE, help='Start of any other path.')
@option('--final', metavar=STRUCTURE, help='End of that path: the same atoms in the same order and cell.')
@potential_options('barrier')
def run(
    structure: str | None,
    *,
    initial: str | None,
    final: str | None,
    checkpoint: str | None,
    code: str,
    label: str,
    watch: bool,
    settings: tuple[str, ...],
    **inputs: t.Any,
) -> None:
    """Compute the barriers of hops or of a path.

    These are the hops of a vacancy of `--species` in a crystal, or the path from `--initial` to `--final`.
    """
    from aiida_qagenai.workchains.barrier import BarrierWorkChain

    builder = BarrierWorkChain.get_builder_from_protocol(
        load_code(code),
        None if structure is None else load_structure(structure),
        overrides=parse_settings(settings),
        initial=None if initial is None else load_structure(initial),
        final=None if final is None else load_structure(final),
        checkpoint=load_checkpoint(checkpoint),
        **inputs,
    )
    node = launch(builder, 'barrier', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai barrier show {node.pk}')


@barrier.command('show')
@PROCESS
@option('--plot', type=PICTURE, help='Draw the energies along the paths: PNG, SVG or PDF.')
@FORMAT
def show(process: str, *, plot: Path | None, fmt: str) -> None:
    """Show the barriers that a run found, and draw the paths."""
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = load_process(process, 'BarrierWorkChain')
    outputs = nested_outputs(node)
    hops = outputs['hops'].get_dict() if 'hops' in outputs else {}
    found = outputs.get('barriers', {})
    rows = [
        {
            'label': label,
            'length': hops.get(label, {}).get('length'),
            'multiplicity': hops.get(label, {}).get('multiplicity'),
            **each.content.model_dump(mode='json', exclude={'source'}),
            'pk': each.pk,
        }
        for label, each in found.items()
    ]
    table = pd.DataFrame(rows, columns=None if rows else list(COLUMNS))
    print_frame(table, fmt, COLUMNS, footer=f'{len(rows)} barriers; exit status {node.exit_status}')
    if plot is not None:
        from aiida_qagenai.thermodynamics.vibrations.plots import plot_path

        paths = {label: (each.content.distances, each.content.energies) for label, each in found.items()}
        click.echo(f'wrote {plot_path(paths, plot)}')


@barrier.command('list')
@CHEMICAL_SYSTEM
@FORMAT
def list_(chemical_system: str | None, fmt: str) -> None:
    """List all barriers, newest first."""
    from aiida_qagenai.queries.finite_temperature import barriers

    table = barriers(chemical_system=chemical_system)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} barriers')
