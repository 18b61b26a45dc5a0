"""`aiida-qagenai barrier show|list`: barriers that were computed."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import CHEMICAL_SYSTEM, FORMAT, PICTURE, PROCESS

__all__ = ('list_', 'show')

COLUMNS = {
    'label': 'label',
    'length': 'hop Å',
    'multiplicity': 'equivalent',
    'barrier_forward': 'barrier eV',
    'barrier_reverse': 'reverse eV',
    'reaction_energy': 'end − start eV',
    'single_barrier': 'one barrier',
    'max_force': 'force eV/Å',
    'pk': 'pk',
}
LISTED = {
    'formula': 'formula',
    'potential': 'potential',
    'barrier_forward': 'barrier eV',
    'barrier_reverse': 'reverse eV',
    'single_barrier': 'one barrier',
    'created': 'created',
    'pk': 'pk',
}


@click.command('show')
@PROCESS
@click.option('--plot', type=PICTURE, help='Draw the energies along the paths: PNG, SVG or PDF.')
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
            **barrier.content.model_dump(mode='json', exclude={'source'}),
            'pk': barrier.pk,
        }
        for label, barrier in found.items()
    ]
    table = pd.DataFrame(rows, columns=None if rows else list(COLUMNS))
    print_frame(table, fmt, COLUMNS, footer=f'{len(rows)} barriers; exit status {node.exit_status}')
    if plot is not None:
        from aiida_qagenai.thermodynamics.vibrations.plots import plot_path

        paths = {label: (each.content.distances, each.content.energies) for label, each in found.items()}
        click.echo(f'wrote {plot_path(paths, plot)}')


@click.command('list')
@CHEMICAL_SYSTEM
@FORMAT
def list_(chemical_system: str | None, fmt: str) -> None:
    """List all barriers, newest first."""
    from aiida_qagenai.queries.finite_temperature import barriers

    table = barriers(chemical_system=chemical_system)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} barriers')
