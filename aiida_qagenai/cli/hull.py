"""`aiida-qagenai hull`: distances to the hull from plain files."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.output import print_table

if t.TYPE_CHECKING:
    from aiida_qagenai.thermodynamics.hull import HullResult, Phase

__all__ = ('hull',)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option('--phases', type=FILE, required=True, help='Known phases: CSV or JSON.')
@click.option('--candidates', type=FILE, required=True, help='Candidates: CSV or JSON with the same columns.')
@click.option('--json', 'as_json', is_flag=True, help='Print a JSON list in the order of the candidates.')
@click.option('--candidates-compete', is_flag=True, help='Let the candidates compete with each other too.')
@click.option('--tolerance', default=1e-6, show_default=True, help='Largest distance that counts as stable, eV/atom.')
@click.option('--workers', default=1, show_default=True, help='Processes for many chemical systems.')
@click.option('--plot', type=click.Path(path_type=Path), help='Draw the hull: PNG, SVG, PDF or HTML; 2–4 elements.')
@click.option('--plot-distances', type=click.Path(path_type=Path), help='Draw the distribution of the distances.')
def hull(
    *,
    phases: Path,
    candidates: Path,
    as_json: bool,
    candidates_compete: bool,
    tolerance: float,
    workers: int,
    plot: Path | None,
    plot_distances: Path | None,
) -> None:
    """Distance of candidates to the convex hull of known phases.

    Both files have the columns `formula` and `formation_energy_per_atom` (eV/atom; pure elements are then implied at 0)
    or `energy_per_atom` (eV/atom; then the phases must include the elements), and optionally `identifier`, `level` of
    theory and `sigma`.
    """
    from aiida_qagenai.thermodynamics.hull import distances_to_hull
    from aiida_qagenai.thermodynamics.plots import plot_distances as draw_distances
    from aiida_qagenai.thermodynamics.plots import plot_hull

    known, wanted, formation = _read(phases, candidates)
    results = distances_to_hull(
        wanted,
        known,
        elements_at_zero=formation,
        candidates_compete=candidates_compete,
        tolerance=tolerance,
        workers=workers,
    )
    if plot is not None:
        plot_hull(known, plot, candidates=wanted, elements_at_zero=formation)
    if plot_distances is not None:
        draw_distances([r.e_above_hull for r in results if r.e_above_hull is not None], plot_distances)
    if as_json:
        click.echo(json.dumps([result.to_dict() for result in results], indent=2))
    else:
        _print(results)


def _read(phases: Path, candidates: Path) -> tuple[list[Phase], list[Phase], bool]:
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.thermodynamics.files import read_phases

    known, wanted = read_phases(phases), read_phases(candidates)
    if known.formation != wanted.formation:
        message = f'`{phases}` and `{candidates}` must both have formation energies or both total energies'
        raise InvalidInputError(message)
    if not known.formation:
        have = {phase.elements[0] for phase in known.phases if len(phase.elements) == 1}
        missing = sorted({element for phase in wanted.phases for element in phase.elements} - have)
        if missing:
            message = f'total energies need the elements as phases: `{phases}` has none of {", ".join(missing)}'
            raise InvalidInputError(message)
    return known.phases, wanted.phases, known.formation


def _print(results: list[HullResult]) -> None:
    rows = []
    for result in results:
        products = ' + '.join(f'{fraction:.3f} {name}' for name, fraction in result.decomposition.items())
        missing = f'no phase in {", ".join(result.missing)}' if result.missing else ''
        rows.append(
            (result.formula, result.e_above_hull, result.decomposition_energy, result.stability, products, missing)
        )
    headings = ['formula', 'E above hull', 'decomposition', 'stability', 'competing phases', 'hull incomplete']
    print_table(headings, rows, title='eV/atom')
