"""Verdicts on crystals that were ordered with geometric constraints: do they keep them, and are they stable?

Distances to the hull of the package say how complete that hull is, and come with the measured error of the potential.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence

import numpy as np

from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.chemistry.symmetry import space_group
from aiida_qagenai.selection.front import pareto_front
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, MINIMUM_REFERENCES
from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull
from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.thermodynamics.hull.relaxed import Placed

__all__ = ('OrderedVerdict', 'judge_ordered', 'summary_of', 'verdict_on_stability')


@dataclasses.dataclass(frozen=True)
class OrderedVerdict:
    """What became of one ordered crystal.

    :param space_group: of the crystal as it was relaxed; None if it could not be found.
    :param loss_before: weighted sum of the losses of the constraints before the relaxation; None where a constraint
        means nothing, as without its elements. ``loss`` is that of the relaxed crystal.
    :param satisfied: whether the relaxed crystal satisfies all constraints; ``satisfied_before`` likewise.
    :param values: of the quantities of the constraints in the relaxed crystal, in their order.
    :param duplicate_of: name of the same relaxed crystal with the lowest energy.
    :param formation_energy_per_atom: on the scale of the hull, eV/atom; ``e_above_hull`` likewise.
    :param e_above_hull_error: mean absolute error of the potential, eV/atom.
    :param complete: whether every element and every subsystem has a known phase in the hull; ``missing`` names those
        that have none, ``num_references`` counts the compositions that it has.
    :param stability: see :func:`verdict_on_stability`.
    :param on_front: whether nothing else has both a smaller loss and a smaller distance to the hull.
    :param reason: why the crystal was left out or has no distance, empty if it has.
    """

    name: str
    formula: str
    num_atoms: int
    space_group: int | None
    loss_before: float | None
    loss: float | None
    satisfied_before: bool
    satisfied: bool
    values: tuple[float | None, ...]
    duplicate_of: str | None
    formation_energy_per_atom: float | None
    e_above_hull: float | None
    e_above_hull_error: float | None
    complete: bool | None
    missing: tuple[str, ...]
    num_references: int | None
    stability: str
    on_front: bool
    reason: str

    def to_dict(self) -> dict[str, t.Any]:
        """Return a record of plain JSON types."""
        return {**dataclasses.asdict(self), 'values': list(self.values), 'missing': list(self.missing)}


def judge_ordered(
    names: Sequence[str],
    structures: Sequence[Structure],
    outcomes: Sequence[Mapping[str, t.Any]],
    *,
    weights: Sequence[float] = (),
    of_formation: bool = False,
    error: float | None = None,
    limit: float = MARGINAL_LIMIT,
    min_references: int = MINIMUM_REFERENCES,
    hull: ReferenceHull | None = None,
) -> list[OrderedVerdict]:
    """Return the verdicts on crystals as they were relaxed, in their order.

    Of crystals that relax into the same one, that with the lowest energy competes; the others name it.

    :param outcomes: of the task ``relax_many``, each with ``converged``, ``energy_per_atom`` (eV) and ``reason``, and
        ``ordered``, what the constraints say before and after.
    :param weights: of the constraints.
    :param of_formation: whether the energies are formation energies on the scale of the hull.
    :param error: mean absolute error of the potential, eV/atom.
    :param limit: largest distance to the hull of what may be synthesised, eV/atom.
    :param min_references: fewest known phases of a chemical system, see ``convex_hull.abstention``.
    :param hull: that of the package if None.
    """
    energies = [outcome['energy_per_atom'] if outcome['converged'] else None for outcome in outcomes]
    twins = _twins(names, structures, energies)
    compositions = [dict(each.composition.get_el_amt_dict()) for each in structures]
    alone = [None if twin else energy for energy, twin in zip(energies, twins, strict=True)]
    placed = place_relaxed(compositions, alone, of_formation=of_formation, hull=hull, min_references=min_references)
    weighted = [_ordered(outcome, weights) for outcome in outcomes]
    points = [[_number(loss), _number(place.e_above_hull)] for (_, loss), place in zip(weighted, placed, strict=True)]
    front = pareto_front(points) if points else np.zeros(0, dtype=np.bool_)
    return [
        OrderedVerdict(
            name=names[row],
            formula=structure.composition.reduced_formula,
            num_atoms=len(structure),
            space_group=space_group(structure).number,
            loss_before=weighted[row][0],
            loss=weighted[row][1],
            duplicate_of=twins[row],
            on_front=bool(front[row]),
            **_constraint_fields(outcomes[row]),
            **_hull_fields(placed[row], error, limit),
            reason=str(outcomes[row]['reason'] or (f'the same as {twins[row]}' if twins[row] else placed[row].reason)),
        )
        for row, structure in enumerate(structures)
    ]


def _twins(names: Sequence[str], structures: Sequence[Structure], energies: Sequence[float | None]) -> list[str | None]:
    """Return per crystal the name of the same one with the lowest energy; None for that one and those without."""
    rows = [row for row, energy in enumerate(energies) if energy is not None]
    labels = find_duplicates([structures[row] for row in rows], distortions=False).labels.tolist()
    best: dict[int, int] = {}
    for row, label in zip(rows, labels, strict=True):
        if label not in best or t.cast(float, energies[row]) < t.cast(float, energies[best[label]]):
            best[label] = row
    found: list[str | None] = [None] * len(names)
    for row, label in zip(rows, labels, strict=True):
        if best[label] != row:
            found[row] = names[best[label]]
    return found


def _ordered(outcome: Mapping[str, t.Any], weights: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the weighted losses before and after the relaxation."""
    ordered = outcome.get('ordered')
    if not ordered:
        return None, None
    losses = []
    for key in ('losses_before', 'losses'):
        known = None not in ordered['values_before' if key == 'losses_before' else 'values']
        losses.append(float(np.dot(ordered[key], weights)) if known else None)
    return losses[0], losses[1]


def _constraint_fields(outcome: Mapping[str, t.Any]) -> dict[str, t.Any]:
    ordered = outcome.get('ordered')
    if not ordered:
        return {'satisfied_before': False, 'satisfied': False, 'values': ()}
    names = ('satisfied_before', 'satisfied')
    return {**{name: all(ordered[name]) for name in names}, 'values': tuple(ordered['values'])}


def _hull_fields(placed: Placed, error: float | None, limit: float) -> dict[str, t.Any]:
    result, above = placed.result, placed.e_above_hull
    return {
        'formation_energy_per_atom': placed.formation_energy_per_atom,
        'e_above_hull': above,
        'e_above_hull_error': None if above is None else error,
        'complete': None if result is None else result.complete,
        'missing': () if result is None else result.missing,
        'num_references': None if result is None else result.num_references,
        'stability': verdict_on_stability(above, error, limit),
    }


def verdict_on_stability(e_above_hull: float | None, error: float | None, limit: float = MARGINAL_LIMIT) -> str:
    """Return whether a crystal lies near the hull beyond the error of the potential.

    :returns: ``near`` or ``far`` where the distance and the limit are more than the error apart, otherwise ``open``;
        ``unknown`` without a distance.
    """
    if e_above_hull is None:
        return 'unknown'
    if error is not None and abs(e_above_hull - limit) <= error:
        return 'open'
    return 'near' if e_above_hull <= limit else 'far'


def summary_of(verdicts: Sequence[OrderedVerdict]) -> dict[str, int]:
    """Return how many crystals are left after each step of the validation, and what they are."""
    relaxed = [each for each in verdicts if each.formation_energy_per_atom is not None or each.duplicate_of]
    distinct = [each for each in relaxed if not each.duplicate_of]
    return {
        'structures': len(verdicts),
        'satisfied before': sum(each.satisfied_before for each in verdicts),
        'relaxed': len(relaxed),
        'distinct': len(distinct),
        'satisfied': sum(each.satisfied for each in distinct),
        'near the hull': sum(each.stability == 'near' for each in distinct),
        'satisfied and near the hull': sum(each.satisfied and each.stability == 'near' for each in distinct),
        'on the front': sum(each.on_front for each in distinct),
        'incomplete hulls': sum(each.complete is False for each in distinct),
    }


def _number(value: float | None) -> float:
    return float('nan') if value is None else value
