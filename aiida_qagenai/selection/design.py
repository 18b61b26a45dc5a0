"""Inverse design: which property is wanted, and which proposals are computed."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida_qagenai.selection.targets import PredictedProperty, PropertyTarget, varied

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'MODULI',
    'generation_of_round',
    'nearest',
    'unseen',
)

MODULI = {'bulk_modulus': 'bulk_modulus_vrh', 'shear_modulus': 'shear_modulus_vrh'}
"""Property → what the elastic tensor calls it."""

PER_FORMULA = 2
"""Most crystals of one formula in one round."""


def generation_of_round(
    systems: Sequence[Sequence[str]], *, number: int, seed: int, per_system: int, max_atoms: int, novelty: float
) -> dict[str, t.Any]:
    """Return the ``requests`` and the ``seed`` of the generation of a round, as the task ``generate`` takes them.

    :param number: of the round, from 0.
    :param per_system: samples of each chemical system.
    :param max_atoms: in the cell.
    :param novelty: noise that is added to known crystals.
    """
    common = {'mode': 'motifs', 'count': per_system, 'max_atoms': max_atoms, 'novelty': novelty, 'otherwise': 'noise'}
    return {'requests': [{**common, 'elements': list(system)} for system in systems], 'seed': seed + 1000 * number}


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
