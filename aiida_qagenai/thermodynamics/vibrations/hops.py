"""Hops of a vacancy in a crystal: which there are, and the two ends of each in a supercell."""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.vibrations.phonons import supercell_divisions
from aiida_qagenai.thermodynamics.vibrations.settings import HopSettings

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('Hop', 'find_hops')

SAME_LENGTH = 1e-3
"""Hops whose lengths differ by less may be equivalent, Å."""


@dataclasses.dataclass(frozen=True)
class Hop:
    """One atom hops into the vacancy beside it.

    :param length: straight from site to site, Å.
    :param multiplicity: equivalent hops from the starting site.
    :param initial: supercell with the vacancy at the target; ``final`` has the atom there. Same atoms, same order.
    """

    length: float
    multiplicity: int
    initial: Atoms
    final: Atoms


def find_hops(crystal: Atoms, settings: HopSettings) -> list[Hop]:
    """Return the hops of ``species`` that no symmetry maps onto another, shortest first; a hop and its reverse are one.

    :raises InvalidInputError: if there is no such species, no hop is short enough, or the supercell is too large.
    """
    symbols = np.array(crystal.get_chemical_symbols())
    if settings.species not in symbols:
        raise InvalidInputError(f'{crystal.get_chemical_formula(mode="metal")} contains no {settings.species}')
    divisions = supercell_divisions(crystal.cell.array, settings.min_supercell)
    count = len(crystal) * math.prod(divisions)
    if count > settings.max_atoms:
        message = f'the supercell has {count} atoms, more than max_atoms {settings.max_atoms}: lower min_supercell'
        raise InvalidInputError(message)
    # A supercell knows fewer symmetries than its crystal: look at the primitive cell, move atoms in the given one.
    primitive, sites = _primitive(crystal, settings.symmetry_precision)
    pairs = _pairs(primitive, np.flatnonzero(symbols[sites] == settings.species), settings.max_length)
    if not pairs:
        message = f'no two {settings.species} atoms are within max_length {settings.max_length:g} Å of each other'
        raise InvalidInputError(message)
    operations = _operations(primitive, settings.symmetry_precision)
    left = list(pairs)
    hops: list[Hop] = []
    while left and len(hops) < settings.max_hops:
        start, vector, length = left[0]
        ends, vectors = _images(primitive, operations, start, vector)
        equal = [
            bool(((ends == site) & (np.linalg.norm(vectors - other, axis=1) < 0.1)).any()) for site, other, _ in left
        ]
        same = list(itertools.compress(left, equal))
        left = [pair for pair, found in zip(left, equal, strict=True) if not found]
        multiplicity = sum(pair[0] == start for pair in same)
        hops.append(Hop(length, multiplicity, *_ends(crystal, divisions, int(sites[start]), vector)))
    return hops


_Pair = tuple[int, NDArray[np.float64], float]
"""Starting site, vector to the target (Å), and its length (Å)."""


def _primitive(crystal: Atoms, precision: float) -> tuple[Atoms, NDArray[np.int64]]:
    """Return the primitive cell in the orientation of ``crystal``, and for each of its sites one in ``crystal``."""
    import spglib
    from ase import Atoms as AseAtoms

    found = spglib.get_symmetry_dataset(
        (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers), symprec=precision
    )
    if found is None:
        return crystal, np.arange(len(crystal))
    _, sites = np.unique(found.mapping_to_primitive, return_index=True)
    primitive = AseAtoms(
        numbers=crystal.numbers[sites], positions=crystal.positions[sites], cell=found.primitive_lattice, pbc=True
    )
    return primitive, sites


def _pairs(crystal: Atoms, sites: NDArray[np.int64], max_length: float) -> list[_Pair]:
    """Return all hops from one of ``sites`` to another, or to its own image, shortest first."""
    from ase.neighborlist import neighbor_list

    first, second, vectors, lengths = neighbor_list('ijDd', crystal, max_length)
    keep = np.isin(first, sites) & np.isin(second, sites)
    pairs = [
        (int(i), vector, float(length))
        for i, vector, length in zip(first[keep], vectors[keep], lengths[keep], strict=True)
    ]
    return sorted(pairs, key=lambda pair: (round(pair[2] / SAME_LENGTH), pair[0], *np.round(pair[1], 3)))


def _operations(crystal: Atoms, precision: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations (m, 3, 3) and translations (m, 3) of fractional coordinates, or the identity."""
    import spglib

    cell = (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers)
    found = spglib.get_symmetry(cell, symprec=precision)
    if found is None:
        return np.eye(3)[None], np.zeros((1, 3))
    return np.asarray(found['rotations'], dtype=np.float64), np.asarray(found['translations'])


def _images(
    crystal: Atoms,
    operations: tuple[NDArray[np.float64], NDArray[np.float64]],
    start: int,
    vector: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sites and vectors (Å) of the hop from ``start`` and of its reverse under every operation."""
    cell, scaled = crystal.cell.array, crystal.get_scaled_positions()
    rotations, translations = operations
    begins, steps = rotations @ scaled[start] + translations, rotations @ (vector @ np.linalg.inv(cell))
    points, vectors = np.concatenate([begins, begins + steps]), np.concatenate([steps, -steps]) @ cell
    differences = scaled - points[:, None]
    differences -= np.round(differences)
    return np.linalg.norm(differences @ cell, axis=2).argmin(axis=1), vectors


def _ends(
    crystal: Atoms, divisions: tuple[int, int, int], start: int, vector: NDArray[np.float64]
) -> tuple[Atoms, Atoms]:
    from ase.geometry import find_mic

    supercell = crystal.repeat(divisions)
    supercell.set_constraint()
    target = supercell.positions[start] + vector
    _, distances = find_mic(supercell.positions - target, supercell.cell, pbc=True)
    vacancy = int(np.argmin(distances))
    final = supercell.copy()
    final.positions[start] = target
    del supercell[vacancy], final[vacancy]
    return supercell, final
