"""`aiida-qagenai hull`: distances to the hull from plain files."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.default_hull import MIN_REFERENCES, about_hull, competing_phases, fewest_references, on_scale
from aiida_qagenai.cli.output import print_table
from aiida_qagenai.cli.params import FILE, PICTURE, option

if t.TYPE_CHECKING:
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, Phase

__all__ = ('hull',)

DRAWN = 4
"""Most elements of a hull that is drawn."""


@click.command()
@option('--phases', type=FILE, help='Known phases: CSV or JSON; by default the hull of the package.')
@option('--candidates', type=FILE, required=True, help='Candidates: CSV or JSON with the same columns.')
@MIN_REFERENCES
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
    phases: Path | None,
    candidates: Path,
    min_references: int | None,
    as_json: bool,
    samples: int | None,
    seed: int,
    plot: Path | None,
    system: str | None,
    plot_distances: Path | None,
    **options: t.Any,
) -> None:
    """Compute distances to the convex hull.

    Each candidate is placed against the convex hull of the known phases: those of `--phases`, or by default the stable
    phases of the Materials Project that come with the package. The energies of the candidates must then be PBE(+U)
    formation energies with the corrections MP2020; a column `level` with MP2020 says so, another level is refused.

    Both files have the columns `formula` and `formation_energy_per_atom` (eV/atom; pure elements are then implied at 0)
    or `energy_per_atom` (eV/atom; then the phases must include the elements), and optionally `identifier`, `level` of
    theory and `sigma`; JSON may also hold entries of pymatgen, as Alexandria and the Materials Project publish them. A
    candidate that is among the known phases (same identifier and composition; the same energy too where the identifier
    is a number or a formula) does not compete with itself.

    The JSON list holds for each candidate, in input order: `formula`, `identifier`, `e_above_hull` and
    `decomposition_energy` (eV/atom, against all other phases; null where these cannot express the composition),
    `decomposition` (formula → fraction of the atoms), `stability`, `complete`, `missing` (the elements and subsystems
    without a phase), `num_references` (known phases in the chemical system) and `reason` (why there is no distance).
    With `--samples` also `probability_stable`, `e_above_hull_interval` (5 % and 95 %), `e_above_hull_sigma` (the
    standard deviation of the draws) and `e_above_hull_linear_sigma` (the linear law, which ignores that the distance
    is never negative and that other phases may take over).
    """
    from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull
    from aiida_qagenai.thermodynamics.hull.plots import plot_distances as draw_distances
    from aiida_qagenai.thermodynamics.hull.plots import plot_hull

    elements = system.split('-') if system else None
    competing, wanted, about = _read(phases, candidates) if phases else _default(candidates, elements)
    fewest = fewest_references(min_references, own_phases=phases is not None)
    results = distances_to_hull(wanted, competing, min_references=fewest, **options)
    records = [result.to_dict() for result in results]
    if samples is not None:
        if options['candidates_compete']:
            raise click.UsageError('--samples asks for the known phases alone: leave out --candidates-compete')
        _add_probabilities(records, wanted, competing, tolerance=options['tolerance'], num_samples=samples, seed=seed)
    if plot is not None:
        plot_hull(
            competing.phases, plot, candidates=wanted, elements=elements, elements_at_zero=competing.elements_at_zero
        )
    if plot_distances is not None:
        draw_distances([r.e_above_hull for r in results if r.e_above_hull is not None], plot_distances)
    if as_json:
        click.echo(json.dumps(records, indent=2))
    else:
        _print(records, all_known=phases is None)
    if about:
        click.echo(about, err=as_json)


def _add_probabilities(
    records: list[dict[str, t.Any]], candidates: list[Phase], competing: CompetingPhases, **draws: t.Any
) -> None:
    """Add the probability of being stable, and the interval and σ of the distance, to the records."""
    from aiida_qagenai.thermodynamics.hull.convex_hull import stability_probability

    for record, candidate in zip(records, candidates, strict=True):
        estimate = None if record['reason'] else stability_probability(candidate, competing, **draws)
        interval = None if estimate is None else estimate.interval
        record['probability_stable'] = None if estimate is None else estimate.probability
        record['e_above_hull_interval'] = None if interval is None else list(interval)
        record['e_above_hull_sigma'] = None if estimate is None else estimate.sigma
        record['e_above_hull_linear_sigma'] = None if estimate is None else estimate.linear_sigma


def _read(phases: Path, candidates: Path) -> tuple[CompetingPhases, list[Phase], str]:
    """Return known phases and candidates of two files, and nothing to say about them.

    :raises InvalidInputError: if total energies lack an element.
    """
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.exchange.readers.phase_files import read_tables
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases

    known, wanted = read_tables(phases, candidates)
    if not known.formation:
        have = {phase.elements[0] for phase in known.phases if len(phase.elements) == 1}
        missing = sorted({element for phase in wanted.phases for element in phase.elements} - have)
        if missing:
            message = f'total energies need the elements as phases: `{phases}` has none of {", ".join(missing)}'
            raise InvalidInputError(message)
    return CompetingPhases(known.phases, elements_at_zero=known.formation), wanted.phases, ''


def _default(candidates: Path, drawn: list[str] | None) -> tuple[CompetingPhases, list[Phase], str]:
    """Return the hull of the package in the systems of the candidates, the candidates, and what to know of them.

    :param drawn: elements of a system that is drawn as well; up to four that the candidates have together if None.
    :raises InvalidInputError: if the energies are total ones, or of another level of theory.
    """
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.exchange.readers.phase_files import FORMATION, read_phases

    table = read_phases(candidates)
    if not table.formation:
        raise InvalidInputError(
            f'`{candidates}` has total energies, but the hull of the package needs a column `{FORMATION}`: add it, or '
            'give phases with total energies with --phases'
        )
    wanted, stated = on_scale(table.phases)
    together = sorted({element for phase in wanted for element in phase.elements})
    systems = [phase.elements for phase in wanted] + [drawn or (together if len(together) <= DRAWN else [])]
    competing = competing_phases(systems)
    return competing, wanted, about_hull(competing, stated=stated)


def _print(records: list[dict[str, t.Any]], *, all_known: bool) -> None:
    """Print a table; a subsystem without a phase is nothing to remark where all phases are known."""
    headings = ['formula', 'E above hull', 'decomposition', 'stability', 'competing phases', 'references', 'remark']
    probable = 'probability_stable' in records[0]
    rows = []
    for record in records:
        products = ' + '.join(f'{fraction:.3f} {name}' for name, fraction in record['decomposition'].items())
        missing = f'no phase in {", ".join(record["missing"])}' if record['missing'] and not all_known else ''
        energies = (record['formula'], record['e_above_hull'], record['decomposition_energy'])
        chance = (record['e_above_hull_sigma'], record['probability_stable']) if probable else ()
        remark = record['reason'] or missing
        rows.append((*energies, *chance, record['stability'], products, record['num_references'], remark))
    if probable:
        headings[3:3] = ['σ', 'P(stable)']
    print_table(headings, rows, title='eV/atom')
