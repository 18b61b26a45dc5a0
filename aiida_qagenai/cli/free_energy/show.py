"""`aiida-qagenai free-energy show|list`: free energies that were computed."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import CHEMICAL_SYSTEM, FORMAT, PICTURE, PROCESS

if t.TYPE_CHECKING:
    import pandas as pd

__all__ = ('list_', 'show')

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


@click.command('show')
@PROCESS
@click.option('--plot-gibbs', type=PICTURE, help='Draw G(T) of all structures: PNG, SVG or PDF.')
@click.option('--plot-hull', type=PICTURE, help='Draw the decomposition energy over the temperature.')
@click.option(
    '--plot-phonons',
    type=PICTURE,
    help='Draw phonon bands and density of states, a file per structure.',
)
@FORMAT
def show(process: str, *, plot_gibbs: Path | None, plot_hull: Path | None, plot_phonons: Path | None, fmt: str) -> None:
    """Show the results of a run in eV/atom, and draw them."""
    node = load_process(process, 'FreeEnergyWorkChain')
    outputs = _outputs(node)
    table = _summary(outputs)
    footer = f'{len(table)} structures; exit status {node.exit_status}'
    print_frame(table, fmt, COLUMNS, footer=footer)
    if plot_gibbs is not None or plot_hull is not None or plot_phonons is not None:
        _draw(outputs, plot_gibbs, plot_hull, plot_phonons)


@click.command('list')
@CHEMICAL_SYSTEM
@click.option('--stable/--unstable', 'dynamically_stable', default=None, help='Without or with imaginary modes.')
@FORMAT
def list_(chemical_system: str | None, *, dynamically_stable: bool | None, fmt: str) -> None:
    """List all free energies, newest first."""
    from aiida_qagenai.queries.finite_temperature import free_energies

    table = free_energies(chemical_system=chemical_system, dynamically_stable=dynamically_stable)
    print_frame(table, fmt, LISTED, footer=f'{len(table)} free energies; G in eV/atom')


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
