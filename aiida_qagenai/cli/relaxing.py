"""Proposed crystals relaxed on a potential, and placed on the hull of the package with each other."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.api.hulls import amounts
from aiida_qagenai.api.potentials import about_energies, hull_problem, potential_config, require_installed
from aiida_qagenai.api.relaxation import THRESHOLDS, relax_structures
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.params import option, several
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('COLUMNS', 'RELAXATION', 'relax_and_rank')

COLUMNS = 'e_above_hull: E above hull, formation_energy_per_atom: E of formation, '
"""What relaxing adds to a table, eV/atom."""

RELAXATION = several(
    option(
        '--relax',
        type=click.Choice(['validator', 'chgnet', 'sevennet']),
        help='Relax on this potential and rank by E_hull. The validator is that of --validator, or of the package.',
    ),
    option('--relax-steps', type=click.IntRange(min=1), default=200, help='Most steps of a relaxation.'),
    option(
        '--min-references',
        type=click.IntRange(min=0),
        default=12,
        help='Fewest known phases in a system of three or more elements for E_hull; 0 never abstains.',
    ),
)
"""Options of a command that relaxes what it proposes."""

Records = list[dict[str, t.Any]]


def relax_and_rank(
    records: Records,
    *,
    relax: str | None,
    relax_steps: int,
    min_references: int,
    output: Path | None,
    validator: Path | None = None,
) -> tuple[Records, str]:
    """Return records with relaxed structures and their distances to the hull, the lowest first, and what to say.

    Crystals that relax into the same one are left out but for the one with the lowest energy. Without ``relax`` the
    records stay as they are.

    :param records: each with a `structure`.
    :param output: folder in which the relaxations are kept, so that the same command goes on where it was cut.
    :param validator: folder of a checkpoint for the potential `validator`.
    :raises InvalidInputError: if the potential is not installed, or its energies have no place on the hull.
    """
    if relax is None:
        return records, ''
    config = ranking_config(relax, validator)
    settings = {**THRESHOLDS, 'max_steps': relax_steps}
    structures = [record['structure'] for record in records]
    if output is None:
        with tempfile.TemporaryDirectory() as folder:
            relaxed, outcomes = relax_structures(structures, config, settings, Path(folder), run_ml_task)
    else:
        relaxed, outcomes = relax_structures(structures, config, settings, output / 'relaxation', run_ml_task)
    placed = _place(relaxed, outcomes, min_references, of_formation=relax == 'validator')
    new = [
        {**record, 'structure': structure, 'volume_per_atom': structure.volume / len(structure), **place}
        for record, structure, place in zip(records, relaxed, placed, strict=True)
    ]
    kept = _distinct(new)
    kept.sort(key=lambda record: (record['e_above_hull'] is None, record['e_above_hull'] or 0.0))
    for rank, record in enumerate(kept, start=1):
        record['rank'] = rank
    return kept, _note(kept, len(records), about_energies(config))


def ranking_config(name: str, validator: Path | None) -> dict[str, t.Any]:
    """Return the keys of a task that name a potential whose energies have a place on the hull of the package.

    :raises InvalidInputError: if it has none, or the potential is not installed.
    """
    require_installed(name, '--relax')
    config = potential_config(name, validator if name == 'validator' else None)
    problem = hull_problem(config)
    if problem:
        raise InvalidInputError(problem)
    return config


def _place(
    structures: Sequence[Structure], outcomes: Sequence[dict[str, t.Any]], fewest: int, *, of_formation: bool
) -> Records:
    """Return energies, and where there is no distance the reason, of each structure."""
    from aiida_qagenai.thermodynamics.hull.reference import SCALE
    from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed

    compositions = [amounts(structure) for structure in structures]
    energies = [outcome['energy_per_atom'] if outcome['converged'] else None for outcome in outcomes]
    found = place_relaxed(compositions, energies, of_formation=of_formation, min_references=fewest)
    return [
        {
            'converged': outcome['converged'],
            'relaxation_steps': outcome['steps'],
            'formation_energy_per_atom': each.formation_energy_per_atom,
            'level': None if each.formation_energy_per_atom is None else SCALE,
            'e_above_hull': each.e_above_hull,
            'no_e_above_hull': outcome['reason'] or each.reason,
        }
        for outcome, each in zip(outcomes, found, strict=True)
    ]


def _distinct(records: Records) -> Records:
    """Return one record of each crystal, that with the lowest energy, in their order."""
    from aiida_qagenai.chemistry.duplicates import find_duplicates

    labels = find_duplicates([record['structure'] for record in records], distortions=False).labels
    best: dict[int, int] = {}
    for index, (record, label) in enumerate(zip(records, labels.tolist(), strict=True)):
        lowest = records[best[label]]['formation_energy_per_atom'] if label in best else None
        energy = record['formation_energy_per_atom']
        if label not in best or (energy is not None and (lowest is None or energy < lowest)):
            best[label] = index
    return [records[index] for index in sorted(best.values())]


def _note(records: Records, number: int, energies: str) -> str:
    """Return which hull the distances are from, and for how many crystals there is none."""
    from aiida_qagenai.cli.default_hull import about_hull, competing_phases

    systems = [[element.symbol for element in record['structure'].composition.elements] for record in records]
    hull = about_hull(competing_phases(systems))
    lines = [f'relaxed; {energies}; {hull}; the other crystals of the table compete']
    if len(records) < number:
        lines.append(f'{number - len(records)} relaxed into the same crystal as another')
    reasons = [record['no_e_above_hull'] for record in records if record['e_above_hull'] is None]
    for reason in dict.fromkeys(reasons):
        lines.append(f'{reasons.count(reason)} without E_hull: {reason}')
    return '\n'.join(lines)
