"""Distances in periodic structures and checks of a structure before anything is computed from it."""

from __future__ import annotations

import collections
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Fragment', 'Neighbors', 'fragments', 'neighbors', 'structure_problem', 'validate_structure')

MINIMUM_HEIGHT = 0.4
"""Smallest accepted distance between opposite faces of a cell, Å: flatter cells hold more images than memory."""


class Neighbors(t.NamedTuple):
    """All ordered pairs (i, j) within a cutoff, self-images included.

    :param first: index i, shape (m,).
    :param second: index j, shape (m,).
    :param image: the cell of j, shape (m, 3), int.
    :param distance: Å, shape (m,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_]) -> Neighbors:
        """Return the pairs for which ``mask`` (m,) is true."""
        return Neighbors(self.first[mask], self.second[mask], self.image[mask], self.distance[mask])


class Fragment(t.NamedTuple):
    """Atoms that are connected by bonds.

    :param atoms: their indices.
    :param dimension: in how many independent directions the fragment repeats, 0 for a molecule.
    """

    atoms: tuple[int, ...]
    dimension: int


def fragments(atoms: t.Iterable[int], pairs: Neighbors) -> list[Fragment]:
    """Return the fragments into which ``atoms`` fall if ``pairs`` are the bonds.

    Following bonds from one atom reaches its own images; the rank of their cells is the dimension (P. M. Larsen et al.,
    Phys. Rev. Mater. 3, 034003, 2019).
    """
    links: dict[int, list[tuple[int, NDArray[np.int64]]]] = collections.defaultdict(list)
    for i, j, cell in zip(pairs.first, pairs.second, pairs.image, strict=True):
        links[int(i)].append((int(j), cell))
    seen: set[int] = set()
    found = []
    for start in atoms:
        if start in seen:
            continue
        place = {start: np.zeros(3, dtype=np.int64)}
        queue, loops = [start], [np.zeros(3, dtype=np.int64)]
        while queue:
            atom = queue.pop()
            for other, cell in links[atom]:
                reached = place[atom] + cell
                if other not in place:
                    place[other] = reached
                    queue.append(other)
                else:  # a way around the cell
                    loops.append(reached - place[other])
        seen.update(place)
        found.append(Fragment(tuple(place), int(np.linalg.matrix_rank(np.unique(loops, axis=0)))))
    return found


def neighbors(structure: Structure, cutoff: float) -> Neighbors:
    """Return all pairs of atoms of the periodic ``structure`` that are at most ``cutoff`` (Å) apart.

    :raises InvalidInputError: if the structure is not a proper crystal (see :func:`validate_structure`).
    """
    validate_structure(structure)
    first, second, image, distance = structure.get_neighbor_list(cutoff, exclude_self=True)
    return Neighbors(
        np.asarray(first, dtype=np.int64),
        np.asarray(second, dtype=np.int64),
        np.rint(image).astype(np.int64).reshape(-1, 3),
        np.asarray(distance, dtype=np.float64),
    )


def structure_problem(structure: Structure) -> str | None:
    """Return why ``structure`` is not a proper ordered crystal, or ``None`` if it is one."""
    if len(structure) == 0:
        return 'has no atoms'
    if not structure.is_ordered:
        return 'has partial occupancies: order it first'
    if any(not 1 <= number <= 118 for number in structure.atomic_numbers):
        return 'has an unknown element'
    if not np.isfinite(structure.frac_coords).all():
        return 'has coordinates that are not finite'
    return _cell_problem(np.asarray(structure.lattice.matrix))


def _cell_problem(matrix: NDArray[np.float64]) -> str | None:
    if not np.isfinite(matrix).all():
        return 'has a lattice that is not finite'
    volume = abs(float(np.linalg.det(matrix)))
    if volume < 1e-6:
        return 'has a cell of zero volume'
    faces = np.linalg.norm(np.cross(matrix[[1, 2, 0]], matrix[[2, 0, 1]]), axis=1)
    height = volume / float(faces.max())
    return None if height >= MINIMUM_HEIGHT else f'has a cell that is only {height:.2g} Å thick'


def validate_structure(structure: Structure, name: str | None = None) -> None:
    """Check that ``structure`` is a proper ordered crystal.

    :raises InvalidInputError: naming the structure and what is wrong.
    """
    problem = structure_problem(structure)
    if problem is not None:
        raise InvalidInputError(f'structure `{name or structure.formula or "without a name"}` {problem}')
