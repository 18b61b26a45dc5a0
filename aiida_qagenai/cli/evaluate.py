"""`aiida-qagenai evaluate`: generated crystals in plain files by the definitions of the field."""

from __future__ import annotations

import json
import sys
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from aiida_qagenai.cli.default_hull import MIN_REFERENCES, about_hull, competing_phases, fewest_references, on_scale
from aiida_qagenai.cli.loaders import print_warnings, read_with_warnings
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FORMAT, OUTPUT, option
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.evaluation.assignment import Assignment
    from aiida_qagenai.evaluation.figures import Figure
    from aiida_qagenai.evaluation.report import Evaluation
    from aiida_qagenai.exchange.readers.structure_files import ReadStructure
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, Phase

__all__ = ('evaluate',)

HULL_COLUMNS = ('e_above_hull', 'energy_above_hull')
"""Columns with the distance to the hull, eV/atom, the first of which that is there counts."""


@click.command()
@click.argument('files', nargs=-1, required=True, type=FILE)
@option('--reference', type=FILE, multiple=True, help='Structures to be found, or of the distribution. Repeatable.')
@option('--known', type=FILE, multiple=True, help='Known structures, against which novelty is judged. Repeatable.')
@option(
    '--count',
    'counts',
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 20),
    help='Samples per reference in match rates. Repeatable.',
)
@option('--metre/--no-metre', default=True, help='Compare references with all samples of their formula as well.')
@option(
    '--phases',
    type=FILE,
    help='Known phases (CSV or JSON) for distances to the hull of given energies; by default the hull of the package.',
)
@MIN_REFERENCES
@option('--hull', 'hull_name', default='', help='Name of the hull of the column `e_above_hull`, printed with S.U.N.')
@option('--relaxer', default='', help='What relaxed the crystals and gave their energies, printed with S.U.N.')
@option('--per-structure', type=OUTPUT, help='CSV file for what was found for each crystal.')
@option('--workers', type=click.IntRange(min=1), default=1, help='Number of processes that compare structures.')
@option('--seed', default=0, help='Seed of the bootstrap.')
@option('--json', 'as_json', is_flag=True, help='Print one JSON object with figures, settings and notes.')
@FORMAT
def evaluate(
    *,
    files: tuple[Path, ...],
    reference: tuple[Path, ...],
    known: tuple[Path, ...],
    counts: tuple[int, ...],
    metre: bool,
    per_structure: Path | None,
    workers: int,
    seed: int,
    as_json: bool,
    fmt: str,
    **energies: t.Any,
) -> None:
    """Evaluate generated crystals.

    Prints validity and uniqueness; with `--reference` also match rate and RMSE, METRe and cRMSE, coverage, and
    the Wasserstein distances of density and number of elements; with `--known` novelty by class; and with distances to
    the hull as well S.U.N. and MSUN. Each figure has its 95 % bootstrap interval, its denominator and its thresholds.

    A sample belongs to the reference that a column names (`reference`, `material_id`, `identifier`), whose index from 0
    is in the column `request`, or that is called as the sample; where there is none of these, to all references of its
    formula. Samples count in the order of the files. A sample that cannot be read counts as invalid.

    The distances to the hull are the column `e_above_hull` (eV/atom); or follow from `--phases` and the column
    `formation_energy_per_atom` or `energy_per_atom`; or from the hull of the package and `formation_energy_per_atom`,
    which must then be PBE(+U) energies with the corrections MP2020.
    """
    from aiida_qagenai.evaluation.report import Evaluation

    samples = [item for file in files for item in _read_samples(file)]
    references = _read_references(reference)
    evaluation = Evaluation([item.structure for item in samples], seed=seed)
    unreadable = sum(item.structure is None for item in samples)
    notes = [f'{unreadable} of {len(samples)} samples cannot be read and count as invalid.'] if unreadable else []
    settings: dict[str, t.Any] = {'files': [str(file) for file in files], 'seed': seed}
    if references:
        found = _assignment(samples, references)
        evaluation.add_matches(
            found.indices, references, counts, everyone=metre, workers=workers, progress=_progress('matches')
        )
        evaluation.add_distributions(list(references.values()))
        settings['assigned_by'] = found.rule
        notes += _notes_on(found, len(samples), max(counts))
    else:
        notes.append('Match rates, coverage and Wasserstein distances need `--reference`.')
    if known:
        settings['known'] = [str(file) for file in known]
        structures = [item.structure for file in known for item in read_with_warnings(file)]
        evaluation.add_novelty(structures, _progress('novelty'))
        settings |= _add_stability(evaluation, samples, notes, **energies)
    else:
        notes.append('Novelty, S.U.N. and MSUN need `--known`.')
    if per_structure is not None:
        _write_records(evaluation, samples, per_structure)
    if as_json:
        figures = [figure.to_dict() for figure in evaluation.figures]
        click.echo(json.dumps({'figures': figures, 'settings': settings, 'notes': notes}, indent=2))
    else:
        _print_figures(evaluation.figures, fmt, '\n'.join(notes))


def _read_samples(file: Path) -> list[ReadStructure]:
    from aiida_qagenai.exchange.readers.structure_files import read_attempts

    found = read_attempts(file)
    print_warnings(file, [f'{item.name}: {text}' for item in found for text in (*item.warnings, item.problem) if text])
    return found


def _read_references(files: Sequence[Path]) -> dict[str, Structure]:
    """Return name → structure.

    :raises InvalidInputError: if two structures have one name.
    """
    references: dict[str, Structure] = {}
    for file in files:
        for item in read_with_warnings(file):
            if item.name in references:
                raise InvalidInputError(f'two references are called `{item.name}` (the second in `{file}`): rename one')
            references[item.name] = item.structure
    return references


def _assignment(samples: Sequence[ReadStructure], references: Mapping[str, Structure]) -> Assignment:
    from aiida_qagenai.evaluation.assignment import assign_samples

    names, structures, fields = zip(*((item.name, item.structure, item.fields) for item in samples), strict=True)
    return assign_samples(names, structures, fields, references)


def _notes_on(assignment: Assignment, num_samples: int, count: int) -> list[str]:
    """Return how samples were assigned to references, and what is missing."""
    notes = [f'Samples were assigned to references by {assignment.rule}.']
    if assignment.left:
        notes.append(f'{assignment.left} of {num_samples} samples belong to no reference.')
    numbers = [len(chosen) for chosen in assignment.indices.values()]
    if 0 in numbers:
        notes.append(f'{numbers.count(0)} of {len(numbers)} references have no sample and count as not matched.')
    few = sum(0 < number < count for number in numbers)
    if few:
        notes.append(f'{few} of {len(numbers)} references have fewer than {count} samples.')
    return notes


def _add_stability(
    evaluation: Evaluation,
    samples: Sequence[ReadStructure],
    notes: list[str],
    *,
    phases: Path | None,
    min_references: int | None,
    hull_name: str,
    relaxer: str,
) -> dict[str, str]:
    """Add S.U.N. and MSUN, or the note that they lack energies, and return which energies they are from."""
    distances, hull = _distances(samples, phases, min_references, hull_name, notes)
    if all(distance is None for distance in distances):
        notes.append('S.U.N. and MSUN need a column `e_above_hull` or `formation_energy_per_atom`.')
        return {}
    relaxer = relaxer or 'not stated'
    evaluation.add_stability(distances, f'hull: {hull}; relaxer: {relaxer}')
    return {'hull': hull, 'relaxer': relaxer}


def _distances(
    samples: Sequence[ReadStructure], phases: Path | None, min_references: int | None, hull_name: str, notes: list[str]
) -> tuple[list[float | None], str]:
    """Return the distance of each sample to the hull, eV/atom, and which hull that is."""
    from aiida_qagenai.exchange.readers.text import parse_number

    column = next((name for name in HULL_COLUMNS if any(name in item.fields for item in samples)), None)
    if phases is None and column is not None:
        values = [parse_number(column, item.fields.get(column)) for item in samples]
        return values, hull_name or f'that of the column `{column}`, not named'
    known, candidates, about = _on_default(samples) if phases is None else _on_phases(samples, phases)
    fewest = fewest_references(min_references, own_phases=phases is not None)
    return _place(candidates, known, len(samples), fewest, notes), hull_name or about


def _on_phases(samples: Sequence[ReadStructure], phases: Path) -> tuple[CompetingPhases, dict[int, Phase], str]:
    """Return the phases of a file, index → the samples that have an energy of their kind, and the name of the hull.

    :raises InvalidInputError: if no sample has one.
    """
    from aiida_qagenai.exchange.readers.phase_files import FORMATION, TOTAL, read_phases
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases

    table = read_phases(phases)
    column = FORMATION if table.formation else TOTAL
    candidates = _with_energies(samples, column)
    if not candidates:
        raise InvalidInputError(f'`{phases}` has `{column}`, which the samples lack: add it to their files')
    return CompetingPhases(table.phases, elements_at_zero=table.formation), candidates, str(phases)


def _on_default(samples: Sequence[ReadStructure]) -> tuple[CompetingPhases, dict[int, Phase], str]:
    """Return the same with the hull of the package.

    :raises InvalidInputError: if a sample names another level of theory.
    """
    import dataclasses

    from aiida_qagenai.exchange.readers.phase_files import FORMATION

    candidates = {
        index: dataclasses.replace(phase, level=samples[index].fields.get('level') or None)
        for index, phase in _with_energies(samples, FORMATION).items()
    }
    phases, stated = on_scale(list(candidates.values()))
    known = competing_phases([phase.elements for phase in phases])
    return known, dict(zip(candidates, phases, strict=True)), about_hull(known, stated=stated)


def _with_energies(samples: Sequence[ReadStructure], column: str) -> dict[int, Phase]:
    from aiida_qagenai.exchange.readers.text import parse_number
    from aiida_qagenai.thermodynamics.hull.convex_hull import Phase

    candidates: dict[int, Phase] = {}
    for index, item in enumerate(samples):
        energy = parse_number(column, item.fields.get(column))
        if energy is not None and item.structure is not None:
            candidates[index] = Phase(item.structure.composition.reduced_formula, energy)
    return candidates


def _place(
    candidates: Mapping[int, Phase], known: CompetingPhases, number: int, fewest: int, notes: list[str]
) -> list[float | None]:
    """Return the distance of each of ``number`` samples, eV/atom, and note where the hull abstains."""
    from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull

    found = distances_to_hull(list(candidates.values()), known, min_references=fewest)
    reasons = [result.reason for result in found if result.reason]
    if reasons:
        notes.append(f'{len(reasons)} of {number} samples have no distance to the hull, such as: {reasons[0]}.')
    distances = {index: result.e_above_hull for index, result in zip(candidates, found, strict=True)}
    return [distances.get(index) for index in range(number)]


def _progress(what: str) -> t.Callable[[Iterable[t.Any], int], Iterable[t.Any]]:
    """Return what shows a bar on a terminal."""

    def show(items: Iterable[t.Any], number: int) -> Iterable[t.Any]:
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        return track(items, what, total=number, console=console, disable=not sys.stderr.isatty(), transient=True)

    return show


def _write_records(evaluation: Evaluation, samples: Sequence[ReadStructure], path: Path) -> None:
    import pandas as pd

    rows = []
    for item, record in zip(samples, evaluation.records, strict=True):
        formula = '' if item.structure is None else item.structure.composition.reduced_formula
        rows.append({'name': item.name, 'formula': formula, **record, 'problem': item.problem})
    try:
        pd.DataFrame(rows).to_csv(path, index=False)
    except OSError as exception:
        raise InvalidInputError(f'`{path}` cannot be written: {exception.strerror}') from exception


def _print_figures(figures: Sequence[Figure], fmt: str, footer: str) -> None:
    import pandas as pd

    rows = []
    for figure in figures:
        low, high = figure.interval or (None, None)
        row = {**figure.to_dict(), 'low': low, 'high': high}
        row.pop('interval')
        if fmt == 'table':
            row['95 %'] = '' if low is None else f'{low:.3f} – {high:.3f}'
            row['of'] = '' if figure.numerator is None else f'{figure.numerator} / '
            row['of'] += str(figure.denominator)
        rows.append(row)
    print_frame(pd.DataFrame(rows), fmt, columns('name: figure, value, 95 %, of, unit, definition'), footer=footer)
