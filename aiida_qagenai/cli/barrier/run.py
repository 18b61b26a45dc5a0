"""`aiida-qagenai barrier run|continue`: barriers of hops and other paths."""

from __future__ import annotations

import click

from aiida_qagenai.cli.launch import continue_command, launch, protocols_command
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_structure
from aiida_qagenai.cli.params import STRUCTURE, parse_settings, potential_options

__all__ = ('continue_', 'protocols', 'run')


@click.command('run')
@click.argument('structure', required=False, metavar=f'[{STRUCTURE}]')
@click.option('--species', help='Element of the structure that hops into a vacancy.')
@click.option('--initial', metavar=STRUCTURE, help='Start of any other path.')
@click.option('--final', metavar=STRUCTURE, help='End of that path: the same atoms in the same order and cell.')
@potential_options('barrier')
def run(
    structure: str | None,
    *,
    species: str | None,
    initial: str | None,
    final: str | None,
    potential: str,
    checkpoint: str | None,
    protocol: str,
    code: str,
    label: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Compute the barriers of hops or of a path.

    These are the hops of a vacancy of `--species` in a crystal, or the path from `--initial` to `--final`.
    """
    from aiida_qagenai.workchains.barrier import BarrierWorkChain

    builder = BarrierWorkChain.get_builder_from_protocol(
        load_code(code),
        None if structure is None else load_structure(structure),
        potential=potential,
        protocol=protocol,
        overrides=parse_settings(settings),
        species=species,
        initial=None if initial is None else load_structure(initial),
        final=None if final is None else load_structure(final),
        checkpoint=load_checkpoint(checkpoint),
    )
    node = launch(builder, 'barrier', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai barrier show {node.pk}')


continue_ = continue_command('barrier', 'BarrierWorkChain')
protocols = protocols_command(
    'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'free energies and barriers'
)
