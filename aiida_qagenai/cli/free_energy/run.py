"""`aiida-qagenai free-energy run|continue|show|list|protocols`: finite temperature."""

from __future__ import annotations

import typing as t
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
    read_files,
    resume,
)
from aiida_qagenai.cli.output import FORMAT, print_frame
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    import pandas as pd

__all__ = ('continue_', 'list_', 'protocols', 'run', 'show')

COLUMNS = {
    'label': 'label',
    'formula': 'formula',
    'dynamically_stable': 'stable modes',
    'lowest_frequency': 'lowest THz',
    'gibbs_300k': 'G 300 K',
    'expansion_linear_300k': 'expansion 1e-6/K',
    'bulk_modulus_300k': 'B GPa',
    'e_above_hull_0k': 'E hull 0 K',
    'e_above_hull_300k': 'E hull 300 K',
    'remarks': 'remarks',
}
LISTED = {
    'formula': 'formula',
    'potential': 'potential',
    'dynamically_stable': 'stable modes',
    'lowest_frequency': 'lowest THz',
    'gibbs_300k': 'G 300 K',
    'heat_capacity_300k': 'C_p k_B',
    'bulk_modulus_300k': 'B GPa',
    'created': 'created',
    'pk': 'pk',
}


@click.command('run')
@click.argument('files', nargs=-1, type=FILE)
@click.option('--campaign', metavar='LABEL|PK', help='Take the candidates of this campaign instead of files.')
@click.option('--max-e-above-hull', type=float, help='Largest distance of a candidate to the hull, eV/atom.')
@click.option('--limit', type=click.IntRange(min=1), help='Most candidates, nearest to the hull first.')
@click.option('--competing', multiple=True, type=FILE, help='Structures of phases that compete; may be repeated.')
@COMMON
def run(
    files: tuple[Path, ...],
    *,
    campaign: str | None,
    max_e_above_hull: float | None,
    limit: int | None,
    competing: tuple[Path, ...],
    potential: str,
    checkpoint: str | None,
    protocol: str,
    code: str,
    watch: bool,
    settings: tuple[str, ...],
) -> None:
    """Quasi-harmonic free energies of the structures in FILES, or of the candidates of a campaign near the hull.

    With competing phases, elements included, also E_hull at every temperature. Those of a campaign are the computed
    structures of lowest formation energy in the same chemical systems, besides what `--competing` adds.
    """
    from aiida_qagenai.workchains.free_energy import FreeEnergyWorkChain
    from aiida_qagenai.workchains.protocols.atomistic import FreeEnergySettings, atomistic_settings

    if bool(files) == (campaign is not None):
        message = 'give either files with structures or --campaign'
        raise InvalidInputError(message)
    overrides = parse_settings(settings)
    if max_e_above_hull is not None:
        overrides['max_e_above_hull'] = max_e_above_hull
    phases = read_files(competing, 'p')
    if campaign is None:
        structures = read_files(files, 's')
    else:
        from aiida_qagenai.queries.finite_temperature import competing_phases, promising_candidates

        distance = atomistic_settings(FreeEnergySettings, protocol, potential, overrides).max_e_above_hull
        structures = promising_candidates(campaign, max_e_above_hull=distance, limit=limit)
        phases = {**competing_phases(campaign, structures), **phases}
    builder = FreeEnergyWorkChain.get_builder_from_protocol(
        load_code(code),
        structures,
        potential=potential,
        protocol=protocol,
        overrides=overrides,
        competing=phases,
        checkpoint=load_checkpoint(checkpoint),
    )
    click.echo(f'{len(structures)} structures, {len(phases)} competing phases')
    node = launch(builder, watch=watch)
    click.echo(f'next: aiida-qagenai free-energy show {node.pk}')


@click.command('continue')
@click.argument('process')
def continue_(process: str) -> None:
    """Bring the run PROCESS (pk or uuid) back after a crash or reboot, and show its progress; nothing runs twice."""
    resume(process, 'FreeEnergyWorkChain')


@click.command('show')
@click.argument('process')
@click.option('--plot-gibbs', type=PICTURE, help='Draw G(T) of all structures: PNG, SVG or PDF.')
@click.option('--plot-hull', type=PICTURE, help='Draw the decomposition energy over the temperature.')
@click.option('--plot-phonons', type=PICTURE, help='Draw bands and density of states; the label is put into the name.')
@FORMAT
def show(process: str, *, plot_gibbs: Path | None, plot_hull: Path | None, plot_phonons: Path | None, fmt: str) -> None:
    """What the run PROCESS (pk or uuid) found, in eV/atom, and pictures of it."""
    node = find_process(process, 'FreeEnergyWorkChain')
    outputs = _outputs(node)
    table = _summary(outputs)
    footer = f'{len(table)} structures; exit status {node.exit_status}'
    print_frame(table, fmt, COLUMNS, footer=footer)
    if plot_gibbs is not None or plot_hull is not None or plot_phonons is not None:
        _draw(outputs, plot_gibbs, plot_hull, plot_phonons)


@click.command('list')
@click.option('--chemical-system', metavar='A-B', help='Elements, such as Li-H.')
@click.option('--stable/--unstable', 'dynamically_stable', default=None, help='Without, or only with imaginary modes.')
@FORMAT
def list_(chemical_system: str | None, *, dynamically_stable: bool | None, fmt: str) -> None:
    """List all free energies, newest first."""
    from aiida_qagenai.queries.finite_temperature import free_energies

    table = free_energies(chemical_system=chemical_system, dynamically_stable=dynamically_stable)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} free energies; G in eV/atom')


@click.command('protocols')
def protocols() -> None:
    """List the protocols of free energies and barriers."""
    from aiida_qagenai.workchains.protocols.atomistic import atomistic_protocols

    for name, description in atomistic_protocols().items():
        click.echo(f'{name:12} {description}')


def _outputs(node: t.Any) -> dict[str, dict[str, t.Any]]:
    """Return the output nodes by kind and label."""
    from aiida_qagenai.engine.resumable import nested_outputs

    outputs = nested_outputs(node)
    return {kind: outputs.get(kind, {}) for kind in ('free_energies', 'phonons', 'hulls')}


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
    columns = None if rows else [*COLUMNS, 'pk']
    return pd.DataFrame(rows, columns=columns).drop(columns=['source'], errors='ignore')


def _draw(outputs: dict[str, dict[str, t.Any]], gibbs: Path | None, hull: Path | None, phonons: Path | None) -> None:
    from aiida_qagenai.thermodynamics.vibrations.plots import plot_gibbs_energies, plot_gibbs_hull, plot_phonons

    found = {label: node.content for label, node in outputs['free_energies'].items()}
    if gibbs is not None:
        curves = {label: (each.temperatures, each.gibbs) for label, each in found.items() if each.gibbs}
        click.echo(f'wrote {plot_gibbs_energies(curves, gibbs)}')
    if hull is not None:
        hulls = {label: node.content for label, node in outputs['hulls'].items()}
        distances = {label: (each.temperatures, each.decomposition_energy) for label, each in hulls.items()}
        click.echo(f'wrote {plot_gibbs_hull(distances, hull)}')
    if phonons is not None:
        for label, node in outputs['phonons'].items():
            arrays = {name: node.get_array(name) for name in node.get_arraynames()}
            target = plot_phonons(
                distances=arrays['band_distances'],
                frequencies=arrays['band_frequencies'],
                ticks=arrays['band_ticks'],
                labels=node.base.attributes.get('band_labels'),
                dos_frequencies=arrays['dos_frequencies'],
                dos=arrays['dos'],
                path=phonons.with_name(f'{phonons.stem}-{label}{phonons.suffix}'),
                title=f'{found[label].formula}, {found[label].potential}',
            )
            click.echo(f'wrote {target}')
