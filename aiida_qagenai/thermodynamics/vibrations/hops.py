"""Hops of a vacancy in a crystal: which there are, and the two ends of each in a supercell."""

from __future__ import annotations

import dataclasses
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
        message = f'{crystal.get_chemical_formula(mode="metal")} contains no {settings.species}'
        raise InvalidInputError(message)
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
    symmetry = _Symmetry.of(primitive, settings.symmetry_precision)
    left = list(pairs)
    hops: list[Hop] = []
    while left and len(hops) < settings.max_hops:
        start, vector, length = left[0]
        images = symmetry.images(start, vector)
        same = [pair for pair in left if _among(pair, images, length)]
        left = [pair for pair in left if not any(pair is other for other in same)]
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


@dataclasses.dataclass(frozen=True)
class _Symmetry:
    """The space group of a crystal.

    :param scaled: fractional coordinates of the sites, shape (n, 3).
    :param cell: lattice vectors as rows, shape (3, 3), Å.
    :param rotations: of fractional coordinates, shape (m, 3, 3).
    :param translations: shape (m, 3).
    """

    scaled: NDArray[np.float64]
    cell: NDArray[np.float64]
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]

    @classmethod
    def of(cls, crystal: Atoms, precision: float) -> _Symmetry:
        """Return the space group of ``crystal``, the identity alone where spglib finds none."""
        import spglib

        scaled, cell = crystal.get_scaled_positions(), crystal.cell.array
        found = spglib.get_symmetry((cell, scaled, crystal.numbers), symprec=precision)
        if found is None:
            return cls(scaled, cell, np.eye(3)[None], np.zeros((1, 3)))
        return cls(scaled, cell, np.asarray(found['rotations'], dtype=np.float64), np.asarray(found['translations']))

    def images(self, start: int, vector: NDArray[np.float64]) -> list[tuple[int, NDArray[np.float64]]]:
        """Return the hop from ``start`` along ``vector`` (Å) and its reverse under every operation."""
        step = vector @ np.linalg.inv(self.cell)
        images = []
        for rotation, translation in zip(self.rotations, self.translations, strict=True):
            begin, turned = rotation @ self.scaled[start] + translation, rotation @ step
            images.append((self.site(begin), turned @ self.cell))
            images.append((self.site(begin + turned), -turned @ self.cell))
        return images

    def site(self, point: NDArray[np.float64]) -> int:
        """Return the site that is at the fractional ``point`` modulo lattice vectors."""
        difference = self.scaled - point
        difference -= np.round(difference)
        return int(np.argmin(np.linalg.norm(difference @ self.cell, axis=1)))


def _among(pair: _Pair, images: list[tuple[int, NDArray[np.float64]]], length: float) -> bool:
    """Return whether a hop is one of ``images``."""
    start, vector, own = pair
    if abs(own - length) > 0.1:
        return False
    return any(start == site and np.linalg.norm(vector - other) < 0.1 for site, other in images)


def _ends(
    crystal: Atoms, divisions: tuple[int, int, int], start: int, vector: NDArray[np.float64]
) -> tuple[Atoms, Atoms]:
    """Return the supercell before and after the hop."""
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
