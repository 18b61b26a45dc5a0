"""Superlattices of a crystal and what its symmetry does to the sites of each: integers only, no coordinates.

A superlattice is the row span of an integer matrix in Hermite normal form, in units of the primitive lattice vectors
(G. L. W. Hart and R. W. Forcade, Phys. Rev. B 77, 224115, 2008). The sites of its cell are pairs of a site of the
primitive cell and a coset of lattice translations.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('CrystalSymmetry', 'Hermite', 'Superlattice', 'hermite_form', 'hermite_forms', 'invariant_superlattice')

Hermite = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
"""A lower triangular integer matrix whose rows span a superlattice."""


def hermite_forms(index: int) -> list[Hermite]:
    """Return all superlattices of an index, as many as Hart and Forcade's table I has: 1, 7, 13, 35, 31, 91, …."""
    forms: list[Hermite] = []
    for a in (n for n in range(1, index + 1) if index % n == 0):
        for c in (n for n in range(1, index // a + 1) if (index // a) % n == 0):
            f = index // (a * c)
            forms += [((a, 0, 0), (b, c, 0), (d, e, f)) for b, d, e in itertools.product(range(a), range(a), range(c))]
    return forms


@functools.lru_cache(maxsize=65_536)
def _form(rows: tuple[int, ...]) -> Hermite:
    matrix = [list(rows[0:3]), list(rows[3:6]), list(rows[6:9])]
    # From the last column to the first: Euclid's algorithm on the rows that are not fixed yet.
    for column in (2, 1, 0):
        while sum(matrix[row][column] != 0 for row in range(column + 1)) > 1:
            rest = [row for row in range(column + 1) if matrix[row][column] != 0]
            pivot = min(rest, key=lambda row: abs(matrix[row][column]))
            for row in rest:
                if row != pivot:
                    factor = matrix[row][column] // matrix[pivot][column]
                    matrix[row] = [x - factor * y for x, y in zip(matrix[row], matrix[pivot], strict=True)]
        pivot = next(row for row in range(column + 1) if matrix[row][column] != 0)
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        if matrix[column][column] < 0:
            matrix[column] = [-x for x in matrix[column]]
    for row in (1, 2):
        for column in range(row - 1, -1, -1):
            factor = matrix[row][column] // matrix[column][column]
            matrix[row] = [x - factor * y for x, y in zip(matrix[row], matrix[column], strict=True)]
    return t.cast(Hermite, tuple(tuple(row) for row in matrix))


def hermite_form(matrix: NDArray[np.int64]) -> Hermite:
    """Return the Hermite normal form of the superlattice that the rows of ``matrix`` (≥ 3, 3) span.

    :raises InvalidInputError: if the first three do not span a lattice.
    """
    rows = np.asarray(matrix, dtype=np.int64)
    if np.linalg.matrix_rank(rows[:3]) < 3:
        raise InvalidInputError('the vectors of a superlattice are linearly dependent')
    while len(rows) > 3:
        rows = np.array(_reduce_four(rows[:4]) + rows[4:].tolist(), dtype=np.int64)
    return _form(tuple(int(x) for x in rows.ravel()))


def _reduce_four(rows: NDArray[np.int64]) -> list[list[int]]:
    """Return three or four vectors that span the same lattice as four, with one zero vector fewer."""
    matrix: list[list[int]] = [list(map(int, row)) for row in rows]
    for column in range(3):
        while sum(matrix[row][column] != 0 for row in range(column, 4)) > 1:
            rest = [row for row in range(column, 4) if matrix[row][column] != 0]
            pivot = min(rest, key=lambda row: abs(matrix[row][column]))
            for row in rest:
                if row != pivot:
                    factor = matrix[row][column] // matrix[pivot][column]
                    matrix[row] = [x - factor * y for x, y in zip(matrix[row], matrix[pivot], strict=True)]
        used = next((row for row in range(column, 4) if matrix[row][column] != 0), column)
        matrix[column], matrix[used] = matrix[used], matrix[column]
    return matrix[:3]


@dataclasses.dataclass(frozen=True)
class Superlattice:
    """The sites of a supercell: all cosets of each site of the primitive cell, the cosets of the first site first.

    :param form: Hermite normal form.
    :param cosets: a lattice vector of each coset, shape (n, 3).
    """

    form: Hermite
    cosets: NDArray[np.int64]

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def of(cls, form: Hermite) -> Superlattice:
        """Return the superlattice of a Hermite normal form."""
        sizes = [range(form[axis][axis]) for axis in range(3)]
        return cls(form, np.array(list(itertools.product(*sizes)), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.cosets)

    def coset_of(self, vectors: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place in ``cosets`` of lattice vectors, shape (..., 3)."""
        rest = np.array(vectors, dtype=np.int64)
        for axis in (2, 1, 0):
            row = np.array(self.form[axis], dtype=np.int64)
            rest = rest - (rest[..., axis] // row[axis])[..., None] * row
        sizes = [self.form[axis][axis] for axis in range(3)]
        return t.cast(NDArray[np.int64], (rest[..., 0] * sizes[1] + rest[..., 1]) * sizes[2] + rest[..., 2])


@dataclasses.dataclass(frozen=True)
class CrystalSymmetry:
    """The space group of a primitive cell as it acts on some of its sites.

    :param rotations: on fractional coordinates, shape (g, 3, 3).
    :param images: site that each site is mapped on, as an index among those sites, shape (g, m).
    :param shifts: lattice translation that is left, shape (g, m, 3).
    :param orbits: number of the orbit of each site, shape (m,).
    """

    rotations: NDArray[np.int64]
    images: NDArray[np.int64]
    shifts: NDArray[np.int64]
    orbits: NDArray[np.int64]

    def forms(self, form: Hermite) -> list[Hermite]:
        """Return the superlattice that each operation makes of one."""
        rows = np.array(form, dtype=np.int64)
        return [_form(tuple(int(x) for x in (rows @ rotation.T).ravel())) for rotation in self.rotations]

    def representative(self, form: Hermite) -> Hermite:
        """Return the first of the equivalent superlattices."""
        return min(self.forms(form))

    def place(self, form: Hermite, operations: t.Sequence[int], target: Hermite) -> NDArray[np.int64]:
        """Return where operations put the sites of one supercell in another, shape (g', m · n).

        :param operations: those that map ``form`` on ``target``.
        """
        source, goal = Superlattice.of(form), Superlattice.of(target)
        chosen = list(operations)
        moved = np.einsum('gij,cj->gci', self.rotations[chosen], source.cosets)
        places = goal.coset_of(moved[:, None] + self.shifts[chosen][:, :, None])
        found: NDArray[np.int64] = self.images[chosen][:, :, None] * len(goal) + places
        return found.reshape(len(chosen), -1)

    def translations(self, form: Hermite) -> NDArray[np.int64]:
        """Return where each lattice translation puts the sites of a supercell, shape (n, m · n)."""
        lattice, num_sites = Superlattice.of(form), self.images.shape[1]
        moved = lattice.coset_of(lattice.cosets[:, None] + lattice.cosets[None])
        starts = np.arange(num_sites)[None, :, None] * len(lattice)
        return t.cast(NDArray[np.int64], (starts + moved[:, None]).reshape(len(lattice), -1))

    def permutations(self, form: Hermite) -> NDArray[np.int64]:
        """Return where the operations that keep a superlattice put its sites, each once, shape (p, m · n)."""
        operations = [number for number, other in enumerate(self.forms(form)) if other == form]
        placed = self.place(form, operations, form)
        return np.unique(self.translations(form)[:, placed].reshape(-1, placed.shape[1]), axis=0)


def invariant_superlattice(form: Hermite, values: NDArray[t.Any]) -> Hermite:
    """Return the superlattice of all translations that keep the values of the sites of a supercell.

    :param values: of the sites in the order of :class:`Superlattice`, shape (m · n,).
    """
    lattice = Superlattice.of(form)
    table = np.asarray(values).reshape(-1, len(lattice))
    moved = lattice.coset_of(lattice.cosets[:, None] + lattice.cosets[None])
    keeping = [
        vector for vector, places in zip(lattice.cosets, moved, strict=True) if (table[:, places] == table).all()
    ]
    return hermite_form(np.concatenate([np.array(form, dtype=np.int64), np.array(keeping).reshape(-1, 3)]))
