"""`aiida-qagenai barrier run|continue|show|list`: kinetics."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_qagenai.cli.campaign.run import load_code, parse_settings
from aiida_qagenai.cli.loaders import (
    COMMON,
    FILE,
    PICTURE,
    find_process,
    launch,
    load_checkpoint,
    load_structure,
    read_one,
    resume,
)
from aiida_qagenai.cli.output import FORMAT, print_frame
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('continue_', 'list_', 'run', 'show')

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


@click.command('run')
@click.argument('file', required=False, type=FILE)
@click.option('--species', help='Element of FILE that hops into a vacancy.')
@click.option('--candidate', metavar='PK|UUID', help='A structure of the graph instead of FILE.')
@click.option('--initial', type=FILE, help='Start of any other path.')
@click.option('--final', type=FILE, help='Its end: the same atoms in the same order and cell.')
@COMMON
def run(
    file: Path | None,
    *,
    species: str | None,
    candidate: str | None,
    initial: Path | None,
    final: Path | None,
    potential: str,
    checkpoint: str | None,
    protocol: str,
    code: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Barriers of the hops of a vacancy in the crystal of FILE, or of the path from --initial to --final."""
    from aiida_qagenai.workchains.barrier import BarrierWorkChain

    structure = read_one(file) if file is not None else None
    if candidate is not None:
        if structure is not None:
            message = 'give either a file or --candidate'
            raise InvalidInputError(message)
        structure = load_structure(candidate)
    builder = BarrierWorkChain.get_builder_from_protocol(
        load_code(code),
        structure,
        potential=potential,
        protocol=protocol,
        overrides=parse_settings(settings),
        species=species,
        initial=None if initial is None else read_one(initial),
        final=None if final is None else read_one(final),
        checkpoint=load_checkpoint(checkpoint),
    )
    node = launch(builder, watch=watch)
    click.echo(f'next: aiida-qagenai barrier show {node.pk}')


@click.command('continue')
@click.argument('process')
def continue_(process: str) -> None:
    """Bring the run PROCESS (pk or uuid) back after a crash or reboot, and show its progress; nothing runs twice."""
    resume(process, 'BarrierWorkChain')


@click.command('show')
@click.argument('process')
@click.option('--plot', type=PICTURE, help='Draw the energies along the paths: PNG, SVG or PDF.')
@FORMAT
def show(process: str, *, plot: Path | None, fmt: str) -> None:
    """The barriers that the run PROCESS (pk or uuid) found."""
    import pandas as pd

    from aiida_qagenai.engine.resumable import nested_outputs

    node = find_process(process, 'BarrierWorkChain')
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
@click.option('--chemical-system', metavar='A-B', help='Elements, such as Li-H.')
@FORMAT
def list_(chemical_system: str | None, fmt: str) -> None:
    """List all barriers, newest first."""
    from aiida_qagenai.queries.finite_temperature import barriers

    table = barriers(chemical_system=chemical_system)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} barriers')
