"""`aiida-qagenai screen`: physical constraints on structures in plain files."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FORMAT, PICTURE, option

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.chemistry.constraints import Constraint, Screening

__all__ = ('screen',)

STAGES = ('generation', 'validation', 'final')
SOURCES = ('icsd24', 'smact14', 'pymatgen_common', 'pymatgen_icsd')
WINDOW = (click.FloatRange(min=0), click.FloatRange(min=0))


@click.command()
@click.argument('files', nargs=-1, required=True, type=FILE)
@option('--stage', type=click.Choice(STAGES), default='final', help='Stage whose constraints apply.')
@option('--alpha', type=float, help='Smallest distance in units of r_i + r_j; 0.7 or 0.8 by stage.')
@option(
    '--oxidation-states',
    type=click.Choice(SOURCES),
    default='icsd24',
    help='List of the oxidation states that occur.',
)
@option('--mixed-valence/--one-state', default=True, help='Whether metals such as Fe may have several states.')
@option('--volume', type=WINDOW, help='Window of the volume in units of the covalent spheres.')
@option('--density', type=WINDOW, help='Window of the density, g/cm³.')
@option(
    '--dimensionality',
    type=click.IntRange(0, 3),
    multiple=True,
    help='Accepted dimensionality: 2 for layers. Repeatable.',
)
@option('--min-space-group', type=click.IntRange(1, 230), default=1, help='Smallest accepted space group number.')
@option('--unique', is_flag=True, help='Mark structures that equal an earlier one.')
@option('--known', type=FILE, multiple=True, help='Mark structures that equal one of this file. Repeatable.')
@option('--json', 'as_json', is_flag=True, help='The same as --format json.')
@option('--plot-funnel', type=PICTURE, help='Draw how many are left: PNG, SVG, PDF or HTML.')
@FORMAT
def screen(
    *,
    files: tuple[Path, ...],
    stage: str,
    unique: bool,
    known: tuple[Path, ...],
    as_json: bool,
    plot_funnel: Path | None,
    fmt: str,
    **options: t.Any,
) -> None:
    """Apply the physical constraints to structures.

    Prints which structures pass, and which constraint the others fail and why. Reads CIF, POSCAR, extxyz, JSON
    (pymatgen, ASE, OPTIMADE), CSV with a column `cif` or `structure`, and packed NPZ
    files, each also compressed (.gz, .bz2, .xz). Structures with partial occupancies, NaN coordinates or a flat cell
    are reported as not well formed. A file that cannot be read, or whose formula, Z, density or symmetry contradicts
    its atoms, ends the command with the reason and the line or index. What was assumed is printed as a warning.
    """
    import pandas as pd

    from aiida_qagenai.chemistry.constraints import Stage
    from aiida_qagenai.chemistry.constraints import screen as apply_constraints

    read = [(file, index, item) for file in files for index, item in enumerate(read_with_warnings(file))]
    structures = [item.structure for _, _, item in read]
    constraints = _constraints(**options)
    screenings = [apply_constraints(structure, constraints, t.cast(Stage, stage)) for structure in structures]
    records = [
        {'file': str(file), 'index': index, 'name': item.name, **item.energies, **_record(item.structure, screening)}
        for (file, index, item), screening in zip(read, screenings, strict=True)
    ]
    counts = _funnel(screenings)
    if unique:
        _mark_duplicates(records, structures)
    if known:
        _mark_known(records, structures, known)
    left = [record for record in records if record['passed']]
    for label, column in (('distinct', 'duplicate_of'), ('new', 'known_as')):
        if column in records[0]:
            left = [record for record in left if record[column] is None]
            counts[label] = len(left)
    if plot_funnel is not None:
        from aiida_qagenai.thermodynamics.hull.plots import plot_funnel as draw_funnel

        draw_funnel(counts, plot_funnel)
    if as_json or fmt == 'json':
        click.echo(json.dumps(records, indent=2))
        return
    shown = columns('name, formula, passed, failed, first_reason: reason')
    shown |= {key: key.replace('_', ' ') for key in ('duplicate_of', 'known_as') if key in records[0]}
    footer = f'{sum(bool(record["passed"]) for record in records)} of {len(records)} pass at the stage `{stage}`'
    footer += ''.join(f', {counts[label]} of them {label}' for label in ('distinct', 'new') if label in counts)
    print_frame(pd.DataFrame(records), fmt, shown, footer=footer)


def _constraints(
    *,
    alpha: float | None,
    oxidation_states: str,
    mixed_valence: bool,
    volume: tuple[float, float] | None,
    density: tuple[float, float] | None,
    dimensionality: Sequence[int],
    min_space_group: int,
) -> list[Constraint]:
    """Return the default constraints with what the user asks for.

    :raises InvalidInputError: if a parameter is out of range.
    """
    from aiida_qagenai.chemistry import constraints as known

    asked: dict[str, Constraint] = {
        known.MinimumDistance.name: known.MinimumDistance(alpha),
        known.ChargeNeutrality.name: known.ChargeNeutrality(mixed_valence, oxidation_states),
        known.Symmetry.name: known.Symmetry(min_space_group),
    }
    if volume is not None:
        asked[known.VolumePerAtom.name] = known.VolumePerAtom(*volume)
    chosen = [asked.get(constraint.name, constraint) for constraint in known.default_constraints()]
    if density is not None:
        chosen.append(known.Density(*density))
    if dimensionality:
        chosen.append(known.Dimensionality(dimensionality))
    return chosen


def _record(structure: Structure, screening: Screening) -> dict[str, t.Any]:
    """Return the formula, what failed, why, and every value of one structure."""
    reason = next((v.reason or v.name for v in screening.verdicts if v.verdict == 'fail'), '')
    failed = {'formula': structure.composition.reduced_formula, 'failed': ', '.join(screening.failed)}
    return {**failed, **screening.to_dict(), 'first_reason': reason}


def _mark_duplicates(records: list[dict[str, t.Any]], structures: list[Structure]) -> None:
    """Add to each record the number of its cluster and the name of the representative that it equals."""
    from aiida_qagenai.chemistry.duplicates import find_duplicates

    clusters = find_duplicates(structures)
    for index, record in enumerate(records):
        record['cluster'] = int(clusters.labels[index])
        first = clusters.representatives[record['cluster']]
        record['duplicate_of'] = None if first == index else records[first]['name']


def _mark_known(records: list[dict[str, t.Any]], structures: list[Structure], files: Sequence[Path]) -> None:
    """Add to each record the name of the known structure that it equals."""
    from aiida_qagenai.chemistry.duplicates import KnownStructures

    named = [item for file in files for item in read_with_warnings(file)]
    index = KnownStructures([item.structure for item in named])
    for record, structure in zip(records, structures, strict=True):
        found = index.find(structure)
        record['known_as'] = None if found is None else named[found].name


def _funnel(screenings: Sequence[Screening]) -> dict[str, int]:
    """Return how many structures are left after each constraint, in the order applied."""
    names = list(dict.fromkeys(verdict.name for screening in screenings for verdict in screening.verdicts))
    counts = {'read': len(screenings)}
    for position, name in enumerate(names):
        so_far = set(names[: position + 1])
        counts[name.replace('_', ' ')] = sum(so_far.isdisjoint(screening.failed) for screening in screenings)
    return counts
