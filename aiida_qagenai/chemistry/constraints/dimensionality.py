"""Layers, chains or networks, where a user asks for one of them."""

from __future__ import annotations

from collections.abc import Collection

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.geometry import Neighbors, fragments
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Dimensionality', 'bonded_dimensionality')

BOND_RATIO = 1.25
"""Atoms closer than this many sums of their covalent radii are bonded: layers of chalcogenides are farther apart."""


class Dimensionality:
    """The bonded network of highest dimension extends in an accepted number of directions; the value is that number.

    0 for molecules, 1 for chains, 2 for layers, 3 for frameworks.

    :param accepted: accepted numbers.
    """

    name = 'dimensionality'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, accepted: Collection[int] = (3,)) -> None:
        if not accepted or not set(accepted) <= {0, 1, 2, 3}:
            message = f'accepted dimensionalities must be among 0, 1, 2 and 3, not {tuple(accepted)}'
            raise InvalidInputError(message)
        self.accepted = frozenset(accepted)

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the bonded network."""
        value = bonded_dimensionality(crystal)
        wanted = ' or '.join(map(str, sorted(self.accepted)))
        return Verdict(self.name, value, None, 'pass' if value in self.accepted else 'fail', stage, f'wanted {wanted}')


def bonded_dimensionality(crystal: Crystal) -> int:
    """Return in how many independent directions the most extended bonded network repeats."""
    first, second, _, distance = crystal.neighbors
    bonded = distance < BOND_RATIO * (crystal.radii[first] + crystal.radii[second])
    bonds = Neighbors(*(column[bonded] for column in crystal.neighbors))
    return max(fragment.dimension for fragment in fragments(range(len(crystal)), bonds))
