"""Symmetry and lattice of an entry: what tells whether two entries are one material."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from collections import Counter

import numpy as np

from aiida_qagenai.chemistry.polymorphs import settled_dataset
from aiida_qagenai.chemistry.symmetry import symmetry_dataset

__all__ = ('Analysis', 'analyse', 'analyse_many')


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The symmetry and the lattice of a structure.

    :param number: space group at the tolerance of clusters, or that of a distortion too small for it; 0 without any.
    :param orbits: element and number of sites in the primitive cell, of each orbit, sorted: ``H4 Li4``.
    :param operations: number of symmetry operations of the primitive cell at the tight tolerance (48 in rock salt).
    :param lengths: the shortest vectors of the primitive cell and the cube root of its volume, Å.
    """

    number: int
    orbits: str
    operations: int
    lengths: tuple[float, float, float, float]


def analyse(
    cell: list[list[float]], symbols: list[str], positions: list[list[float]], symprec: float, tight: float
) -> Analysis:
    """Return the symmetry and the lattice of a structure.

    :param positions: Cartesian, Å.
    """
    import spglib

    matrix = np.array(cell)
    kinds = sorted(set(symbols))
    numbers = [kinds.index(symbol) + 1 for symbol in symbols]
    crystal = (matrix, np.linalg.solve(matrix.T, np.array(positions).T).T, numbers)
    loose, fine = (symmetry_dataset(crystal, tolerance) for tolerance in (symprec, tight))
    settled = settled_dataset(crystal)
    if loose is not None and settled is not None and _operations(settled, loose) < _operations(loose, loose):
        loose = settled  # a distortion of its own, too small for the tolerance of clusters
    if loose is None:
        lattice, orbits, number = matrix, ' '.join(f'{name}{n}' for name, n in sorted(Counter(symbols).items())), 0
    else:
        lattice, number = loose.primitive_lattice, int(loose.number)
        repeat = round(abs(np.linalg.det(matrix)) / abs(np.linalg.det(lattice)))
        sizes = Counter((symbols[first], int(first)) for first in loose.crystallographic_orbits)
        orbits = ' '.join(
            f'{name}{n}' for name, n in sorted((name, size // repeat) for (name, _), size in sizes.items())
        )
    reduced = spglib.niggli_reduce(lattice)
    lattice = lattice if reduced is None else reduced
    a, b, c = sorted(np.linalg.norm(lattice, axis=1).tolist())
    volume = float(abs(np.linalg.det(lattice)) ** (1 / 3))
    operations = 0 if fine is None else _operations(fine, fine if loose is None else loose)
    return Analysis(number, orbits, operations, (a, b, c, volume))


def _operations(fine: t.Any, loose: t.Any) -> int:
    """Return the number of operations at the tight tolerance, per primitive cell of the loose one.

    It comes from the space group, not from the operations that were found, which a skewed supercell has fewer of.
    """
    import spglib

    rotations = spglib.get_symmetry_from_database(int(fine.hall_number))['rotations']
    order = len({rotation.tobytes() for rotation in rotations})
    atoms = [int(dataset.mapping_to_primitive.max()) + 1 for dataset in (loose, fine)]
    return max(1, order * atoms[0] // atoms[1])


def analyse_many(structures: list[tuple[t.Any, t.Any, t.Any]], symprec: float, tight: float) -> list[Analysis]:
    """Return the analyses of (cell, symbols, positions), in order."""
    os.environ.setdefault('SPGLIB_WARNING', 'OFF')
    return [analyse(cell, symbols, positions, symprec, tight) for cell, symbols, positions in structures]
