"""`aiida-qagenai free-energy`: free energies at finite temperature, run and shown."""

from __future__ import annotations

import collections
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun, add_continue, add_protocols, launch
from aiida_qagenai.cli.loaders import load_checkpoint, load_code, load_process, load_structures
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import (
    CHEMICAL_SYSTEM,
    FORMAT,
    NODE,
    PICTURE,
    PROCESS,
    STRUCTURE,
    option,
    parse_settings,
    potential_options,
)
from aiida_qagenai.cli.phonons import write_phonons
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    import pandas as pd

__all__ = ('free_energy',)

free_energy = Noun('free-energy', help='Compute free energies at finite temperature.')
add_continue(free_energy, 'FreeEnergyWorkChain')
add_protocols(
    free_energy, 'aiida_qagenai.workchains.protocols.atomistic:atomistic_protocols', 'free energies and barriers'
)

COLUMNS = columns(
    'label, formula, dynamically_stable: stable modes, lowest_frequency: lowest THz, gibbs_300k: G 300 K, '
    'expansion_linear_300k: expansion 1e-6/K, bulk_modulus_300k: B GPa, e_above_hull_0k: E hull 0 K, '
    'e_above_hull_300k: E hull 300 K, remarks'
)
LISTED = columns(
    'formula, potential, dynamically_stable: stable modes, lowest_frequency: lowest THz, gibbs_300k: G 300 K, '
    'heat_capacity_300k: C_p k_B, bulk_modulus_300k: B GPa, created, pk'
)


@free_energy.command('run')
@click.argument('structures', nargs=-1, metavar='[FILE|LABEL|PK|UUID]...')
@option('--campaign', metavar=NODE, help='Take the candidates of this campaign instead of structures.')
@option('--max-e-above-hull', type=float, help='Largest distance of a candidate to the hull, eV/atom.')
@option('--limit', type=click.IntRange(min=1), help='Largest number of candidates, nearest to the hull first.')
@option('--competing', multiple=True, metavar=STRUCTURE, help='Phases that compete with them. Repeatable.')
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
        raise InvalidInputError('give either structures or --campaign')
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


@free_energy.command('show')
@PROCESS
@option('--plot-gibbs', type=PICTURE, help='Draw G(T) of all structures: PNG, SVG or PDF.')
@option('--plot-hull', type=PICTURE, help='Draw the decomposition energy over the temperature.')
@option('--plot-phonons', type=PICTURE, help='Draw phonon bands and density of states, a file for each; also HTML.')
@FORMAT
def show(process: str, *, plot_gibbs: Path | None, plot_hull: Path | None, plot_phonons: Path | None, fmt: str) -> None:
    """Show the results of a run in eV/atom, and draw them."""
    from aiida_qagenai.engine.resumable import nested_outputs

    node = load_process(process, 'FreeEnergyWorkChain')
    outputs = collections.defaultdict(dict, nested_outputs(node))
    table = _summary(outputs)
    footer = f'{len(table)} structures; exit status {node.exit_status}'
    print_frame(table, fmt, COLUMNS, footer=footer)
    if plot_gibbs is not None or plot_hull is not None or plot_phonons is not None:
        _draw(outputs, plot_gibbs, plot_hull, plot_phonons)


@free_energy.command('list')
@CHEMICAL_SYSTEM
@option('--stable/--unstable', 'dynamically_stable', default=None, help='Without or with imaginary modes.')
@FORMAT
def list_(chemical_system: str | None, *, dynamically_stable: bool | None, fmt: str) -> None:
    """List all free energies, newest first."""
    from aiida_qagenai.queries.finite_temperature import free_energies

    table = free_energies(chemical_system=chemical_system, dynamically_stable=dynamically_stable)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} free energies; G in eV/atom')


def _summary(outputs: dict[str, dict[str, t.Any]]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for label, node in outputs['free_energies'].items():
        content = node.content.model_dump(mode='json')
        expansion = content['expansion_300k']
        row = {'label': label, **content, 'expansion_linear_300k': None if expansion is None else expansion / 3e-6}
        row['remarks'] = '; '.join(content['remarks'])
        hull = outputs['hulls'].get(label)
        for name in ('e_above_hull_0k', 'e_above_hull_300k', 'complete', 'missing'):
            row[name] = None if hull is None else hull.base.attributes.get(name)
        rows.append({**row, 'pk': node.pk})
    return pd.DataFrame(rows, columns=None if rows else [*COLUMNS, 'pk']).drop(columns=['source'], errors='ignore')


def _draw(outputs: dict[str, dict[str, t.Any]], gibbs: Path | None, hull: Path | None, phonons: Path | None) -> None:
    from aiida_qagenai.thermodynamics.vibrations.plots import plot_gibbs_energies, plot_gibbs_hull

    found = {label: node.content for label, node in outputs['free_energies'].items()}
    if gibbs is not None:
        curves = {label: (each.temperatures, each.gibbs) for label, each in found.items() if each.gibbs}
        click.echo(f'wrote {plot_gibbs_energies(curves, gibbs)}')
    if hull is not None:
        hulls = {label: node.content for label, node in outputs['hulls'].items()}
        distances = {label: (each.temperatures, each.decomposition_energy) for label, each in hulls.items()}
        click.echo(f'wrote {plot_gibbs_hull(distances, hull)}')
    if phonons is not None:
        for target in write_phonons(outputs, phonons, labelled=True):
            click.echo(f'wrote {target}')
