"""Which of many crystals serve a target best: near it, balanced, likely, and no more than a few of one kind."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

from aiida_qagenai.motifs.propose import has_common_states, is_balanced, kinds_of, most_alike
from aiida_qagenai.selection.targets import AnyPredicted, Target, merit, varied

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('nearest_of_kinds', 'order_of_merit')


def order_of_merit(
    target: Target,
    structures: Sequence[Structure],
    predicted: Sequence[AnyPredicted],
    probabilities: Sequence[float],
) -> list[int]:
    """Return the indices of crystals, those that serve a target best first.

    :param predicted: property of each crystal that the target is about.
    :param probabilities: that they exist, NaN where that is not known.
    """
    merits = [
        merit(
            target,
            found,
            balanced=is_balanced(structure),
            common=has_common_states(structure),
            probability=probability,
        )
        for found, structure, probability in zip(predicted, structures, probabilities, strict=True)
    ]
    return sorted(range(len(structures)), key=lambda index: -merits[index])


def nearest_of_kinds(
    order: Sequence[int], structures: Sequence[Structure], space_group: Callable[[int], int | None], count: int
) -> list[int]:
    """Return at most ``count`` crystals of a chemical system, no more than ``most_alike`` of a formula or a prototype.

    :param order: indices, the best first.
    :param space_group: of the crystal with an index.
    """
    kinds = [kinds_of(structure, space_group(index)) for index, structure in enumerate(structures)]
    return varied(order, kinds, count, most_alike(count))
