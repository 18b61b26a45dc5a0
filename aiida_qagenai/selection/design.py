"""Inverse design: which property is wanted, and which proposals are computed."""

from __future__ import annotations

import math
import re
import typing as t
from collections.abc import Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import FUNCTION, QUANTITIES
from aiida_qagenai.selection.targets import PropertyTarget, varied

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Rounds', 'design_target', 'functions_of', 'generation_of_round', 'nearest', 'unseen')

PER_FORMULA = 2
"""Most crystals of one formula in one round."""


class Rounds(t.Protocol):
    """What decides the generation of every round.

    :param per_system: samples of each chemical system.
    :param max_atoms: in the cell.
    :param novelty: noise that is added to known crystals.
    """

    @property
    def systems(self) -> Sequence[Sequence[str]]: ...
    @property
    def per_system(self) -> int: ...
    @property
    def max_atoms(self) -> int: ...
    @property
    def novelty(self) -> float: ...
    @property
    def seed(self) -> int: ...


def generation_of_round(plan: Rounds, number: int) -> dict[str, t.Any]:
    """Return the ``requests`` and the ``seed`` of the generation of a round, as the task ``generate`` takes them.

    :param number: of the round, from 0.
    """
    common = {
        'mode': 'motifs',
        'count': plan.per_system,
        'max_atoms': plan.max_atoms,
        'novelty': plan.novelty,
        'otherwise': 'noise',
    }
    requests = [{**common, 'elements': list(system)} for system in plan.systems]
    return {'requests': requests, 'seed': plan.seed + 1000 * number}


def unseen(proposed: Sequence[Structure], earlier: Sequence[Structure]) -> list[int]:
    """Return the indices of the proposals without duplicates and without those of earlier rounds."""
    from aiida_qagenai.chemistry.duplicates import KnownStructures, find_duplicates

    kept = find_duplicates(proposed, distortions=False).representatives
    known = KnownStructures(list(earlier), distortions=False)
    return [index for index in kept if known.find(proposed[index]) is None]


def design_target(text: str) -> PropertyTarget:
    """Return what a text asks an inverse design for: any of ``QUANTITIES``, or a function, ``module:function=1..2``.

    :raises InvalidInputError: if it is none.
    """
    if text.partition('=')[0].strip() in ('band_gap', 'metallic'):
        raise InvalidInputError(
            f'`{text}`: no potential computes band gaps; `aiida-qagenai generate --target` asks the gap model for them'
        )
    name = text.partition('=')[0].strip()
    return PropertyTarget.parse(text, [*QUANTITIES, *([name] if re.match(FUNCTION, name) else [])])


def functions_of(target: PropertyTarget) -> list[str]:
    """Return the functions that have to be evaluated for a target."""
    return [] if target.name in QUANTITIES else [target.name]


def nearest(
    target: PropertyTarget, formulas: Sequence[str], predicted: Sequence[float | None], count: int
) -> list[int]:
    """Return the indices of the crystals nearest to the target, at most ``PER_FORMULA`` of one formula.

    :param predicted: the quantity of each; those without it come last, in their order.
    :param count: most crystals.
    """
    distances = [math.inf if value is None else target.away(value) for value in predicted]
    order = sorted(range(len(formulas)), key=distances.__getitem__)
    return varied(order, [(formula,) for formula in formulas], count, PER_FORMULA)
