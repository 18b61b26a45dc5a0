"""`aiida-qagenai free-energy run|continue|protocols`: free energies at finite temperature."""

from __future__ import annotations

import click

from aiida_qagenai.cli.launch import continue_command, launch, protocols_command
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_structures
from aiida_qagenai.cli.params import NODE, STRUCTURE, parse_settings, potential_options
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('continue_', 'protocols', 'run')


@click.command('run')
@click.argument('structures', nargs=-1, metavar='[FILE|LABEL|PK|UUID]...')
@click.option('--campaign', metavar=NODE, help='Take the candidates of this campaign instead of structures.')
@click.option('--max-e-above-hull', type=float, help='Largest distance of a candidate to the hull, eV/atom.')
@click.option('--limit', type=click.IntRange(min=1), help='Largest number of candidates, nearest to the hull first.')
@click.option('--competing', multiple=True, metavar=STRUCTURE, help='Phases that compete with them. Repeatable.')
@potential_options('free-energy')
def run(
    structures: tuple[str, ...],
    *,
    campaign: str | None,
    max_e_above_hull: float | None,
    limit: int | None,
    competing: tuple[str, ...],
    potential: str,
    checkpoint: str | None,
    protocol: str,
    code: str,
    label: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Compute quasi-harmonic free energies.

    These are the free energies of structures, or of the candidates of a campaign near the hull. With competing phases,
    which include the elements, the distance to the hull is computed at every temperature. The competing phases of a
    campaign are its computed structures of lowest formation energy in the same chemical systems; `--competing` adds
    others.
    """
    from aiida_qagenai.workchains.free_energy import FreeEnergyWorkChain
    from aiida_qagenai.workchains.protocols.atomistic import FreeEnergySettings, atomistic_settings

    if bool(structures) == (campaign is not None):
        message = 'give either structures or --campaign'
        raise InvalidInputError(message)
    overrides = parse_settings(settings)
    if max_e_above_hull is not None:
        overrides['max_e_above_hull'] = max_e_above_hull
    phases = load_structures(competing, 'p')
    if campaign is None:
        found = load_structures(structures)
    else:
        from aiida_qagenai.queries.finite_temperature import competing_phases, promising_candidates

        distance = atomistic_settings(FreeEnergySettings, protocol, potential, overrides).max_e_above_hull
        found = promising_candidates(campaign, max_e_above_hull=distance, limit=limit)
        phases = {**competing_phases(campaign, found), **phases}
    builder = FreeEnergyWorkChain.get_builder_from_protocol(
        load_code(code),
        found,
        potential=potential,
        protocol=protocol,
        overrides=overrides,
        competing=phases,
        checkpoint=load_checkpoint(checkpoint),
    )
    click.echo(f'{len(found)} structures, {len(phases)} competing phases')
    node = launch(builder, 'free-energy', label=label, watch=watch)
    click.echo(f'next: aiida-qagenai free-energy show {node.pk}')


continue_ = continue_command('free-energy', 'FreeEnergyWorkChain')
protocols = protocols_command(
    'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'free energies and barriers'
)
