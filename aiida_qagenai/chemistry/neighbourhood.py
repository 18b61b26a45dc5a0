"""What surrounds an atom in its crystal: the sites that lend their basis functions in a counterpoise correction."""

from __future__ import annotations

import typing as t
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import neighbors
from aiida_qagenai.chemistry.symmetry import symmetry_dataset

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('distinct_sites', 'surrounding_sites')

SHELL_WIDTH = 1.15
"""Distances of one shell over the shortest of them: the second shell of bcc is at 1.155."""

SYMMETRY_TOLERANCE = 0.01
"""Of positions, Å."""


def surrounding_sites(
    cell: t.Sequence[t.Sequence[float]],
    sites: t.Sequence[tuple[str, t.Sequence[float]]],
    index: int,
    num_shells: int,
) -> list[tuple[str, list[float]]]:
    """Return element and position (Å) relative to site ``index`` of its nearest shells, nearest first.

    :param cell: lattice vectors as rows, Å.
    :param sites: element and Cartesian position (Å) of every site of the cell.
    :raises InvalidInputError: if the structure is not a proper crystal.
    """
    from pymatgen.core import Structure

    symbols, positions = zip(*sites, strict=True)
    structure = Structure(np.array(cell), symbols, np.array(positions), coords_are_cartesian=True)
    cutoff = 2.0 * structure.volume ** (1 / 3)
    while True:
        first, second, image, distance = neighbors(structure, cutoff)
        mine = np.flatnonzero(first == index)
        order = mine[np.argsort(distance[mine], kind='stable')]
        ends = _shell_ends(distance[order])
        # The last shell may go on beyond the cutoff.
        if len(ends) > num_shells:
            break
        cutoff *= 1.5
    chosen = order[: ends[num_shells - 1]]
    vectors = structure.cart_coords[second[chosen]] + image[chosen] @ structure.lattice.matrix
    vectors -= structure.cart_coords[index]
    # Equal to the last digits on every machine, and sorted: a calculation is found again by its inputs.
    found = [(symbols[j], [round(float(x), 8) + 0.0 for x in v]) for j, v in zip(second[chosen], vectors, strict=True)]
    return sorted(found, key=lambda site: (round(float(np.linalg.norm(site[1])), 6), site[0], site[1]))


def _shell_ends(distances: NDArray[np.float64]) -> list[int]:
    """Return how many of the sorted distances belong to each shell and those within it."""
    ends, start = [], None
    for position, distance in enumerate(distances):
        if start is not None and distance > SHELL_WIDTH * start:
            ends.append(position)
            start = None
        start = distance if start is None else start
    return [*ends, len(distances)] if len(distances) else []


def distinct_sites(structure: Structure) -> list[tuple[int, int]]:
    """Return the first of each set of sites that symmetry makes equal, and how many of them there are.

    Where no symmetry is found every site stands for itself.
    """
    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    dataset = symmetry_dataset(cell, SYMMETRY_TOLERANCE)
    labels = range(len(structure)) if dataset is None else dataset.equivalent_atoms
    return sorted(Counter(int(label) for label in labels).items())
