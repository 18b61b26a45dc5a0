"""Reduced cells, against pymatgen's Niggli cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from toy_crystals import FCC

from aiida_qagenai.ml.generator.reduction import equivalent_settings, reduce_cell, shortest_basis

seeds = st.integers(0, 10_000)


def random_cell(seed):
    """Return a cell of volume about 60 Å3 in a badly skewed setting."""
    rng = np.random.default_rng(seed)
    cell = 4 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    for _ in range(4):
        i, j = rng.permutation(3)[:2]
        cell[i] += rng.integers(-2, 3) * cell[j]
    return cell if np.linalg.det(cell) > 0 else -cell


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_vectors_are_as_short_as_in_the_niggli_cell(seed):
    cell = random_cell(seed)
    lengths = np.sort(np.linalg.norm(shortest_basis(cell) @ cell, axis=1))
    niggli = Lattice(cell).get_niggli_reduced_lattice()
    np.testing.assert_allclose(lengths, np.sort(niggli.abc), rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_settings_are_right_handed_cells_of_the_same_lattice(seed):
    cell = random_cell(seed)
    matrices = equivalent_settings(cell)
    determinants = np.linalg.det(matrices @ cell)
    np.testing.assert_allclose(determinants, abs(np.linalg.det(cell)), rtol=1e-9)


def test_new_fractional_coordinates_are_the_same_crystal():
    cell = random_cell(3)
    fractional = np.random.default_rng(0).uniform(size=(3, 3))
    before = Structure(Lattice(cell), ['Li', 'H', 'H'], fractional)
    for matrix in equivalent_settings(cell):
        after = Structure(Lattice(matrix @ cell), ['Li', 'H', 'H'], fractional @ np.linalg.inv(matrix))
        assert after.distance_matrix == pytest.approx(before.distance_matrix, abs=1e-8)


def test_a_strained_face_centred_cell_is_always_near_sixty_degrees():
    rng = np.random.default_rng(0)
    for _ in range(10):
        cell = FCC * 4 @ (np.eye(3) + 0.01 * rng.standard_normal((3, 3)))
        for matrix in equivalent_settings(cell):
            assert np.allclose(Lattice(matrix @ cell).angles, 60, atol=4)


def test_a_symmetric_cell_has_more_settings_than_a_general_one():
    assert len(equivalent_settings(4 * np.eye(3))) == 24
    assert len(equivalent_settings(Lattice.from_parameters(3, 4, 5, 70, 75, 80).matrix)) == 1


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_reduced_cell_is_the_same_crystal_with_short_vectors(seed):
    cell = random_cell(seed)
    fractional = np.random.default_rng(seed).uniform(size=(3, 3))
    reduced, moved = reduce_cell(cell, fractional)
    before = Structure(Lattice(cell), ['Li', 'H', 'H'], fractional)
    after = Structure(Lattice(reduced), ['Li', 'H', 'H'], moved)
    assert after.distance_matrix == pytest.approx(before.distance_matrix, abs=1e-8)
    assert after.volume == pytest.approx(before.volume)
    assert sorted(after.lattice.abc) == pytest.approx(sorted(before.lattice.get_niggli_reduced_lattice().abc), rel=1e-5)
