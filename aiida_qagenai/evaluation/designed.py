"""Verdicts on the crystals of a round of inverse design: do they have what is wanted, and are they stable?"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from aiida_qagenai.evaluation.quantities import needs_energies, obtained
from aiida_qagenai.selection.targets import PropertyTarget
from aiida_qagenai.thermodynamics.hull.relaxed import Placed, place_relaxed
from aiida_qagenai.thermodynamics.references.mp_elements import POTENTIALS

__all__ = ('DesignVerdict', 'hull_text', 'judge_problem', 'mean_error', 'place_problem', 'verdicts')

OF_FORMATION = 'validator:PBE'
"""How the tags of validators begin whose energies are formation energies."""


class DesignVerdict(t.NamedTuple):
    """What became of one crystal.

    :param value: of the quantity that is asked for; None where it has none.
    :param stable: whether it is mechanically stable; None without a tensor.
    :param within: whether the value is in the window.
    :param e_above_hull: eV/atom; None where the potential or the crystal has no place on the hull.
    :param hull: how complete the hull is, or why there is no distance.
    :param hit: whether it is stable, within the window and near the hull; None where the potential has no place there.
    """

    value: float | None
    stable: bool | None
    within: bool
    e_above_hull: float | None
    hull: str
    hit: bool | None


def verdicts(
    target: PropertyTarget,
    compositions: Sequence[Mapping[str, int]],
    figures: Sequence[Mapping[str, t.Any]],
    max_e_above_hull: float,
) -> list[DesignVerdict]:
    """Return the verdicts on the crystals of one round, which compete in the hull of the package.

    :param compositions: element → number of atoms, of any amount of each.
    :param figures: ``potential``, ``energy_per_atom`` and so on, by the names of ``ElasticData``.
    :param max_e_above_hull: of a hit, eV/atom.
    """
    found = []
    for composition, figure, placed in zip(compositions, figures, _placed(compositions, figures), strict=True):
        value, stable = obtained(target.name, figure, composition, placed), figure.get('mechanically_stable')
        within = value is not None and target.holds(value)
        above = None if placed is None else placed.e_above_hull
        near = above is not None and above <= max_e_above_hull
        hit = None if placed is None else bool(within and stable and near)
        found.append(DesignVerdict(value, stable, within, above, hull_text(placed), hit))
    return found


def _placed(
    compositions: Sequence[Mapping[str, int]], figures: Sequence[Mapping[str, t.Any]]
) -> Sequence[Placed | None]:
    """Return where the crystals stand; None for all if energies of the potential have no place on the hull."""
    tags = {str(figure['potential']) for figure in figures}
    of_formation = all(tag.startswith(OF_FORMATION) for tag in tags)
    if not of_formation and not all(tag.startswith(POTENTIALS) for tag in tags):
        return [None] * len(figures)
    energies = [figure.get('energy_per_atom') for figure in figures]
    return place_relaxed(compositions, energies, of_formation=of_formation, min_references=0)


def hull_text(placed: Placed | None) -> str:
    """Return how complete the hull of a crystal is, or why it has no distance."""
    if placed is None:
        return 'the potential has no place on it'
    if placed.result is None:
        return placed.reason
    if placed.result.complete:
        return f'complete, {placed.result.num_references} phases'
    return f'lacks {", ".join(placed.result.missing)}'


def mean_error(target: PropertyTarget, pairs: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Return the mean error of values against what they should be, None without any.

    It is a share for quantities that are positive, otherwise in their unit, see ``Quantity``.

    :param pairs: value and what it should be; pairs without one of them do not count.
    """
    errors = [target.error(value, wanted) for value, wanted in pairs if value is not None and wanted is not None]
    return sum(errors) / len(errors) if errors else None


def place_problem(target: PropertyTarget, tag: str) -> str | None:
    """Return why a potential cannot compute what is wanted, None if it can.

    :param tag: of the potential, or how its tag begins.
    """
    if needs_energies(target.name) and not tag.startswith((*POTENTIALS, OF_FORMATION)):
        return f'{target.name} is of the hull of the package, on which {tag} has no place: take chgnet'
    return None


def judge_problem(target: PropertyTarget, judge: Mapping[str, t.Any], potential: Mapping[str, t.Any]) -> str | None:
    """Return why a potential cannot judge what another one found, None if it can.

    :param judge: name and options of a potential, as ``potential``.
    """
    if needs_energies(target.name):
        return f'no judge has a place on the hull: {target.name} cannot be judged'
    if judge['name'] == 'validator':
        return 'the validator cannot judge: the property heads stand on it'
    if dict(judge) == dict(potential):
        return f'{judge["name"]} cannot judge: the rounds use the same potential'
    return None
