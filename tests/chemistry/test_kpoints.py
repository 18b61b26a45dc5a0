"""Test meshes of k-points at mean-value points, on a band whose integral is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.kpoints import mean_value_shift

HALF = 3.826 / 2
FACE_CENTRED = Structure(
    Lattice([[0, HALF, HALF], [HALF, 0, HALF], [HALF, HALF, 0]]), ['Be', 'O'], [[0] * 3, [0.25] * 3]
)
# The same crystal in another primitive cell, of angles 120°, 90° and 120°.
SKEWED = FACE_CENTRED.copy()
SKEWED.make_supercell([[1, 0, 0], [-1, 1, 0], [0, -1, 1]])
WURTZITE = Structure.from_spacegroup(
    'P6_3mc', Lattice.hexagonal(2.713, 4.396), ['Be', 'O'], [[1 / 3, 2 / 3, 0.498], [1 / 3, 2 / 3, 0.1215]]
)
TRICLINIC = Structure(Lattice.from_parameters(3.1, 3.6, 4.2, 80, 95, 105), ['Be', 'O'], [[0, 0, 0], [0.3, 0.4, 0.55]])


def mesh_error(structure, mesh, shift):
    """Return by how much a mesh misses the mean of a band whose coefficients decay with the lattice vectors."""
    vectors = np.array([x for x in itertools.product(range(-8, 9), repeat=3) if any(x)])
    coefficients = np.exp(-0.7 * np.linalg.norm(vectors @ structure.lattice.matrix, axis=1))
    kpoints = (np.array(list(itertools.product(*map(range, mesh)))) + shift) / mesh
    return abs(np.cos(2 * np.pi * kpoints @ vectors.T).mean(axis=0) @ coefficients)


@pytest.mark.parametrize(
    ('structure', 'mesh'),
    [
        (FACE_CENTRED, (2, 2, 2)),
        (SKEWED, (2, 2, 2)),
        (WURTZITE, (2, 2, 1)),
        (WURTZITE, (2, 2, 2)),
        (TRICLINIC, (2, 2, 1)),
    ],
)
def test_mean_value_points_integrate_bands(structure, mesh):
    """Ten times better than the mesh with Γ, and better than half a step along every axis."""
    shift = mean_value_shift(structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers, mesh)
    error = mesh_error(structure, mesh, shift)
    assert error < 0.1 * mesh_error(structure, mesh, (0, 0, 0)) and error < mesh_error(structure, mesh, (0.5, 0.5, 0.5))


def test_half_a_step_depends_on_the_choice_of_cell():
    """Which is why it is no rule for crystals in whatever primitive cell they come: a mean-value point does not."""
    assert np.allclose(SKEWED.lattice.angles, (120, 90, 120)) and len(SKEWED) == 2
    half, mean = [], []
    for cell in (FACE_CENTRED, SKEWED):
        half.append(mesh_error(cell, (2, 2, 2), (0.5, 0.5, 0.5)))
        shift = mean_value_shift(cell.lattice.matrix, cell.frac_coords, cell.atomic_numbers, (2, 2, 2))
        mean.append(mesh_error(cell, (2, 2, 2), shift))
    assert half[1] > 3 * half[0] and mean[1] == pytest.approx(mean[0], rel=0.01)


def test_a_broken_crystal_has_the_point_of_no_symmetry():
    """Atoms in one place: spglib finds nothing, and only the opposite of a vector is equivalent to it."""
    shift = mean_value_shift(np.eye(3) * 3, [[0, 0, 0], [0, 0, 0]], [1, 2], (1, 1, 1))
    assert shift == (0.25, 0.25, 0.25)
