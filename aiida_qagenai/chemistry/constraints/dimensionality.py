"""Layers, chains or networks, where a user asks for one of them."""

from __future__ import annotations

import collections
from collections.abc import Collection

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
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
    """Return in how many independent directions the most extended bonded network repeats.

    Following bonds from one atom reaches its own images; the rank of their cells is the dimension (P. M. Larsen et al.,
    Phys. Rev. Mater. 3, 034003, 2019).
    """
    first, second, image, distance = crystal.neighbors
    bonded = distance < BOND_RATIO * (crystal.radii[first] + crystal.radii[second])
    links: dict[int, list[tuple[int, tuple[int, ...]]]] = collections.defaultdict(list)
    for i, j, cell in zip(first[bonded], second[bonded], image[bonded], strict=True):
        links[int(i)].append((int(j), tuple(int(x) for x in cell)))
    seen: set[int] = set()
    largest = 0
    for start in range(len(crystal)):
        if start not in seen:
            largest = max(largest, _rank(start, links, seen))
    return largest


def _rank(start: int, links: dict[int, list[tuple[int, tuple[int, ...]]]], seen: set[int]) -> int:
    """Return the dimension of the network of ``start`` and mark its atoms as seen."""
    place = {start: np.zeros(3, dtype=np.int64)}
    queue = [start]
    loops: list[np.ndarray] = []
    while queue:
        atom = queue.pop()
        seen.add(atom)
        for other, cell in links[atom]:
            reached = place[atom] + np.array(cell)
            if other not in place:
                place[other] = reached
                queue.append(other)
            else:  # a way around the cell
                loops.append(reached - place[other])
    return int(np.linalg.matrix_rank(np.array(loops))) if loops else 0
