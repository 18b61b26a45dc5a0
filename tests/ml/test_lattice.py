"""The six-number code of lattices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from aiida_qagenai.ml.generator.lattice import (
    LatticeCode,
    basis,
    cell_from_metric,
    log_coordinates,
    metric_from_coordinates,
    size_free,
)

coordinates = hnp.arrays(np.float64, (5, 6), elements=st.floats(-2.0, 2.0))


def cells(count, seed=0):
    """Return random right-handed cells, shape (count, 3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.eye(3, dtype=torch.float64) + torch.randn(count, 3, 3, generator=generator, dtype=torch.float64)


def test_the_basis_is_orthonormal():
    overlaps = torch.einsum('nij,mij->nm', basis(), basis())
    torch.testing.assert_close(overlaps, torch.eye(6, dtype=torch.float64))


@given(coordinates)
def test_any_six_numbers_are_a_positive_definite_metric(numbers):
    metric = metric_from_coordinates(torch.from_numpy(numbers))
    assert (torch.linalg.eigvalsh(metric) > 0).all()
    torch.testing.assert_close(log_coordinates(metric), torch.from_numpy(numbers), atol=1e-8, rtol=0)


def test_noise_on_the_metric_itself_would_leave_the_cone():
    # The paper's Eq 10 at full noise: a symmetric Gaussian matrix is positive definite in about 1 % of the draws.
    noise = torch.randn(20_000, 6, dtype=torch.float64)
    matrices = torch.zeros(20_000, 3, 3, dtype=torch.float64)
    for column, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        matrices[:, i, j] = matrices[:, j, i] = noise[:, column]
    share = (torch.linalg.eigvalsh(matrices) > 0).all(1).double().mean()
    assert share < 0.03
    assert (torch.linalg.eigvalsh(metric_from_coordinates(noise)) > 0).all()


def test_the_code_does_not_depend_on_the_orientation():
    vectors = cells(10)
    turned = vectors @ torch.from_numpy(Rotation.random(random_state=0).as_matrix())
    before, after = (log_coordinates(each @ each.transpose(1, 2)) for each in (vectors, turned))
    torch.testing.assert_close(before, after, atol=1e-12, rtol=0)


def test_the_first_coordinate_is_the_log_volume():
    vectors = cells(10)
    logarithms = torch.linalg.det(vectors).abs().log()
    first = log_coordinates(vectors @ vectors.transpose(1, 2))[:, 0]
    torch.testing.assert_close(first * np.sqrt(3), logarithms)


def test_cells_of_two_sizes_and_one_density_share_the_first_coordinate():
    single = cells(1)
    double = single * 2 ** (1 / 3)
    pair = torch.cat([single, double])
    free = size_free(log_coordinates(pair @ pair.transpose(1, 2)), torch.tensor([2, 4]))
    assert free[0, 0].item() == pytest.approx(free[1, 0].item())


def test_cells_come_back_from_the_code():
    code = LatticeCode().double()
    vectors = cells(50)
    metric = vectors @ vectors.transpose(1, 2)
    num_atoms = torch.full((50,), 3)
    code.fit(size_free(log_coordinates(metric), num_atoms), torch.ones(50))
    z = code.encode(log_coordinates(metric), num_atoms)
    torch.testing.assert_close(z.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-8, rtol=0)
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    again = cell_from_metric(code.decode(z, num_atoms))
    torch.testing.assert_close(again @ again.transpose(1, 2), metric)
    assert (torch.linalg.det(again) > 0).all()
