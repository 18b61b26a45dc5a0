"""Where a mesh of k-points lies best: mean-value points of a crystal.

A mesh integrates the bands exactly but for the lattice vectors R of its supercell: each adds the Fourier coefficient of
the bands at R, which decays with \\|R\\|, times the mean of cos(k·R) over the mesh and the operations of the crystal. A
displacement at which this mean is small for the shortest R is the mean-value point of Baldereschi (Phys. Rev. B 7, 5212
(1973)). Displacing every axis by half a step gives that of no cell but a few, and depends on the choice of cell.
"""

from __future__ import annotations

import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.symmetry import TOLERANCES, symmetry_dataset

__all__ = ('mean_value_shift',)

DECAY = 0.7
"""Of the Fourier coefficients of the bands with distance, 1/Å: zinc-blende BeO by PBE between 2×2×2 and 4×4×4."""

REACH = 8.0
"""How much farther than the shortest lattice vector of the supercell lattice vectors count, Å."""

STEPS = 8
"""Displacements that are tried along each axis, per step of the mesh."""


def mean_value_shift(
    cell: t.Any, positions: t.Any, kinds: t.Sequence[int], mesh: t.Sequence[int]
) -> tuple[float, float, float]:
    """Return the displacement of a mesh from Γ, in its steps, whose energy is closest to that of a dense mesh.

    The mesh has no k-point with its opposite in general: every point counts on its own.

    :param cell: lattice vectors as rows, Å.
    :param positions: fractional coordinates (n, 3).
    :param kinds: a number for each atom that tells the kinds apart.
    :param mesh: k-points along each reciprocal vector.
    """
    lattice, numbers = np.array(cell, dtype=float), np.array(mesh)
    dataset = symmetry_dataset((lattice, np.array(positions), list(kinds)), TOLERANCES[0])
    rotations = np.eye(3, dtype=int)[None] if dataset is None else np.unique(dataset.rotations, axis=0)
    vectors, distances = _supercell_vectors(lattice, numbers)
    images = np.einsum('oab,rb->roa', rotations, vectors)
    # The mesh sums those outside its supercell to nothing.
    inside = (images % numbers == 0).all(axis=-1)
    sizes = np.array([len(np.unique(np.vstack([one, -one]), axis=0)) for one in images])
    shifts = np.array(list(itertools.product(np.arange(STEPS) / STEPS, repeat=3)))
    phases = np.cos(2 * np.pi * np.einsum('sa,roa->sro', shifts / numbers, images))
    means = np.where(inside, phases, 0.0).mean(axis=-1)
    errors = (sizes * (np.exp(-DECAY * distances) * means) ** 2).sum(axis=-1)
    # Equivalent ones differ in the last bits: the first of them on every machine.
    best = int(np.flatnonzero(errors <= errors.min() * (1 + 1e-6) + 1e-12)[0])
    return t.cast('tuple[float, float, float]', tuple(float(value) for value in shifts[best]))


def _supercell_vectors(lattice: NDArray[np.float64], mesh: NDArray[np.int_]) -> tuple[t.Any, t.Any]:
    """Return the shortest lattice vectors of the supercell of a mesh, in units of the cell, and their lengths, Å."""
    supercell = lattice * mesh[:, None]
    limit = np.linalg.norm(supercell, axis=1).min() + REACH
    bounds = np.floor(limit * np.linalg.norm(np.linalg.inv(supercell), axis=0) + 1e-9).astype(int)
    vectors = np.array(list(itertools.product(*(range(-bound, bound + 1) for bound in bounds)))) * mesh
    distances = np.linalg.norm(vectors @ lattice, axis=1)
    counted = (distances > 0) & (distances <= limit)
    return vectors[counted], distances[counted]
