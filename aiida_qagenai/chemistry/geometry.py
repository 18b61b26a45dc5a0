"""Distances in periodic structures and checks of a structure before anything is computed from it."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Neighbors', 'neighbors', 'structure_problem', 'validate_structure')

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
        message = f'structure `{name or structure.formula or "without a name"}` {problem}'
        raise InvalidInputError(message)
