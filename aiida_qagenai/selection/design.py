"""Inverse design: which property is wanted, and which proposals are computed."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida_qagenai.selection.targets import PredictedProperty, PropertyTarget, varied

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('MODULI', 'Rounds', 'generation_of_round', 'nearest', 'unseen')

MODULI = {'bulk_modulus': 'bulk_modulus_vrh', 'shear_modulus': 'shear_modulus_vrh'}
"""Property → what the elastic tensor calls it."""

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


def nearest(
    target: PropertyTarget, formulas: Sequence[str], predicted: Sequence[PredictedProperty], count: int
) -> list[int]:
    """Return the indices of the crystals nearest to the target, at most ``PER_FORMULA`` of one formula.

    :param count: most crystals.
    """
    order = sorted(range(len(formulas)), key=lambda index: target.distance(predicted[index]))
    return varied(order, [(formula,) for formula in formulas], count, PER_FORMULA)
