"""The hard constraint on distances."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.ml.generator.projection import closest_ratio, project

IMAGES = np.array(list(itertools.product(range(-4, 5), repeat=3)))


def smallest_ratio(cell, species, fractional):
    """Return the smallest d / (r_i + r_j) by direct summation over images."""
    radii = np.array([COVALENT_RADII[int(number)] for number in species])
    smallest = np.inf
    for i, j in itertools.product(range(len(species)), repeat=2):
        distances = np.linalg.norm((fractional[j] - fractional[i] + IMAGES) @ cell, axis=1)
        distances = distances[distances > 1e-9] if i == j else distances
        smallest = min(smallest, distances.min() / (radii[i] + radii[j]))
    return smallest


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), size=st.floats(1.0, 5.0), scale=st.sampled_from([0.7, 0.8]))
def test_no_violation_is_left(seed, size, scale):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    cell = size * (np.eye(3) + 0.3 * rng.standard_normal((3, 3)))
    species = rng.choice([1, 3, 8, 55], count)
    result = project(cell, species, rng.uniform(size=(count, 3)), scale, rng)
    assert result is not None
    assert smallest_ratio(result.cell, species, result.fractional) >= scale
    assert ((result.fractional >= 0) & (result.fractional < 1)).all()


def test_a_valid_structure_is_left_alone():
    cell, species = 4.0 * np.eye(3), np.array([3, 1])
    fractional = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    result = project(cell, species, fractional, 0.7, np.random.default_rng(0))
    assert not result.moved
    np.testing.assert_array_equal(result.cell, cell)
    np.testing.assert_array_equal(result.fractional, fractional)


def test_coinciding_atoms_part():
    result = project(5 * np.eye(3), np.array([3, 3]), np.full((2, 3), 0.25), 0.7, np.random.default_rng(0))
    assert result.moved
    assert smallest_ratio(result.cell, [3, 3], result.fractional) >= 0.7


def test_a_too_short_translation_stretches_only_its_own_direction():
    cell = np.diag([1.0, 5.0, 6.0])
    result = project(cell, np.array([3]), np.zeros((1, 3)), 0.7, np.random.default_rng(0))
    assert np.linalg.norm(result.cell, axis=1) == pytest.approx([0.7 * 2 * 1.33, 5.0, 6.0], rel=1e-4)


def test_the_ratio_counts_images_of_the_atom_itself_in_skewed_cells():
    # The shortest translation, 21b − 4a, is not a neighbour of the origin among the first 27 images.
    cell = np.array([[10.0, 2.0, 0.0], [1.9, 0.4, 0.0], [0.0, 0.0, 8.0]])
    assert closest_ratio(cell, np.array([1]), np.zeros((1, 3))) == pytest.approx(np.hypot(0.1, 0.4) / 0.64)
