"""The hull that comes with the package, for the commands that are given no phases."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Sequence

import click

from aiida_qagenai.cli.params import option
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_qagenai.thermodynamics.hull.convex_hull import CompetingPhases, Phase

__all__ = ('MIN_REFERENCES', 'about_hull', 'competing_phases', 'fewest_references', 'on_scale')

MIN_REFERENCES = option(
    '--min-references',
    type=click.IntRange(min=0),
    help='Fewest known phases in a system of three or more elements for a distance; 0 never abstains. The default is '
    '12 for the hull of the package and 0 for phases of your own.',
)


def fewest_references(asked: int | None, *, own_phases: bool) -> int:
    """Return the fewest references that are enough for a distance."""
    from aiida_qagenai.thermodynamics.hull.convex_hull import MINIMUM_REFERENCES

    if asked is not None:
        return asked
    return 0 if own_phases else MINIMUM_REFERENCES


def on_scale(candidates: Sequence[Phase]) -> tuple[list[Phase], bool]:
    """Return candidates with the level of the hull of the package, and whether all of them say that they have it.

    :raises InvalidInputError: if one says that it has another level.
    """
    import dataclasses

    from aiida_qagenai.thermodynamics.hull.reference import SCALE

    for candidate in candidates:
        if candidate.level not in (None, SCALE):
            message = (
                f'`{candidate.identifier or candidate.formula}` has the level of theory {candidate.level!r}, but the '
                f'hull of the package has {SCALE!r}: give phases of the same level with --phases'
            )
            raise InvalidInputError(message)
    stated = all(candidate.level == SCALE for candidate in candidates)
    return [dataclasses.replace(candidate, level=SCALE) for candidate in candidates], stated


def competing_phases(systems: Iterable[Iterable[str]]) -> CompetingPhases:
    """Return the phases of the hull of the package in these chemical systems."""
    from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

    return ReferenceHull.default().competing(systems)


def about_hull(competing: CompetingPhases, *, stated: bool = True) -> str:
    """Return what people need to know of the distances.

    :param stated: whether the energies of the candidates are known to be on the scale of the hull.
    """
    from aiida_qagenai.thermodynamics.hull.reference import ABOUT, ReferenceHull

    text = (
        f'hull of the package: {len(ReferenceHull.default())} stable phases of the Materials Project, '
        f'{len(competing)} of them in these systems; {ABOUT}'
    )
    if stated:
        return text
    return f'{text}. It was not stated whether the energies of the candidates are on this scale, as they must be'
