"""`aiida-qagenai hull`: distances to the hull from plain files."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.output import print_table
from aiida_qagenai.cli.params import FILE, PICTURE, option

if t.TYPE_CHECKING:
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, Phase

__all__ = ('hull',)


@click.command()
@option('--phases', type=FILE, required=True, help='Known phases: CSV or JSON.')
@option('--candidates', type=FILE, required=True, help='Candidates: CSV or JSON with the same columns.')
@option('--json', 'as_json', is_flag=True, help='Print a JSON list in the order of the candidates.')
@option('--candidates-compete', is_flag=True, help='Let the candidates compete with each other as well.')
@option('--tolerance', default=1e-6, help='Largest distance that counts as stable, eV/atom.')
@option('--workers', default=1, help='Number of processes for many chemical systems.')
@option('--samples', type=click.IntRange(min=1), help='Draws for P(stable), where the files have `sigma`.')
@option('--seed', default=0, help='Seed of the draws for P(stable).')
@option('--plot', type=PICTURE, help='Draw the hull: PNG, SVG, PDF or HTML; 2–4 elements.')
@option('--system', help='Elements of the drawn hull, such as Li-Fe-O; by default those of the candidates.')
@option('--plot-distances', type=PICTURE, help='Draw the distribution of the distances: PNG, SVG, PDF or HTML.')
def hull(
    *,
    phases: Path,
    candidates: Path,
    as_json: bool,
    candidates_compete: bool,
    tolerance: float,
    workers: int,
    samples: int | None,
    seed: int,
    plot: Path | None,
    system: str | None,
    plot_distances: Path | None,
) -> None:
    """Compute distances to the convex hull.

    Each candidate is placed against the convex hull of the known phases.

    Both files have the columns `formula` and `formation_energy_per_atom` (eV/atom; pure elements are then implied at 0)
    or `energy_per_atom` (eV/atom; then the phases must include the elements), and optionally `identifier`, `level` of
    theory and `sigma`; JSON may also hold entries of pymatgen, as Alexandria and the Materials Project publish them. A
    candidate that is among the known phases (same identifier and composition; the same energy too where the identifier
    is a number or a formula) does not compete with itself.

    The JSON list holds for each candidate, in input order: `formula`, `identifier`, `e_above_hull` and
    `decomposition_energy` (eV/atom, against all other phases; null where these cannot express the composition),
    `decomposition` (formula → fraction of the atoms), `stability`, `complete`, and `missing`: the elements and
    subsystems without a phase. With `--samples` also `probability_stable` and `e_above_hull_interval` (5 % and 95 %).
    """
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, distances_to_hull
    from aiida_qagenai.thermodynamics.hull.plots import plot_distances as draw_distances
    from aiida_qagenai.thermodynamics.hull.plots import plot_hull

    known, wanted, formation = _read(phases, candidates)
    competing = CompetingPhases(known, elements_at_zero=formation)
    results = distances_to_hull(
        wanted, competing, candidates_compete=candidates_compete, tolerance=tolerance, workers=workers
    )
    records = [result.to_dict() for result in results]
    if samples is not None:
        if candidates_compete:
            raise click.UsageError('--samples asks for the known phases alone: leave out --candidates-compete')
        _add_probabilities(records, wanted, competing, tolerance=tolerance, num_samples=samples, seed=seed)
    if plot is not None:
        elements = system.split('-') if system else None
        plot_hull(known, plot, candidates=wanted, elements=elements, elements_at_zero=formation)
    if plot_distances is not None:
        draw_distances([r.e_above_hull for r in results if r.e_above_hull is not None], plot_distances)
    if as_json:
        click.echo(json.dumps(records, indent=2))
    else:
        _print(records)


def _add_probabilities(
    records: list[dict[str, t.Any]], candidates: list[Phase], competing: CompetingPhases, **draws: t.Any
) -> None:
    """Add the probability of being stable and the interval of the distance to the records."""
    from aiida_qagenai.thermodynamics.hull.convex_hull import stability_probability

    for record, candidate in zip(records, candidates, strict=True):
        estimate = stability_probability(candidate, competing, **draws)
        record['probability_stable'] = estimate.probability
        record['e_above_hull_interval'] = None if estimate.interval is None else list(estimate.interval)


def _read(phases: Path, candidates: Path) -> tuple[list[Phase], list[Phase], bool]:
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.exchange.readers.phase_files import read_tables

    known, wanted = read_tables(phases, candidates)
    if not known.formation:
        have = {phase.elements[0] for phase in known.phases if len(phase.elements) == 1}
        missing = sorted({element for phase in wanted.phases for element in phase.elements} - have)
        if missing:
            message = f'total energies need the elements as phases: `{phases}` has none of {", ".join(missing)}'
            raise InvalidInputError(message)
    return known.phases, wanted.phases, known.formation


def _print(records: list[dict[str, t.Any]]) -> None:
    headings = ['formula', 'E above hull', 'decomposition', 'stability', 'competing phases', 'hull incomplete']
    probable = 'probability_stable' in records[0]
    rows = []
    for record in records:
        products = ' + '.join(f'{fraction:.3f} {name}' for name, fraction in record['decomposition'].items())
        missing = f'no phase in {", ".join(record["missing"])}' if record['missing'] else ''
        energies = (record['formula'], record['e_above_hull'], record['decomposition_energy'])
        chance = (record['probability_stable'],) if probable else ()
        rows.append((*energies, *chance, record['stability'], products, missing))
    if probable:
        headings.insert(3, 'P(stable)')
    print_table(headings, rows, title='eV/atom')
