"""The noise processes."""

import torch

from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal, remove_mean, wrap


def test_the_noise_grows_from_nothing_to_everything():
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    signal, noise = lattice_signal(times), lattice_noise(times)
    torch.testing.assert_close(signal**2 + noise**2, torch.ones_like(times))
    assert signal[0] == 1
    assert signal[-1] < 1e-6
    assert (signal.diff() < 0).all()
    assert (coordinate_width(times).diff() > 0).all()
    torch.testing.assert_close(coordinate_width(times)[[0, -1]], torch.tensor([0.005, 0.5], dtype=torch.float64))


def test_wrapping_gives_the_nearest_difference():
    torch.testing.assert_close(wrap(torch.tensor([0.7, -0.6, 1.2, 0.1])), torch.tensor([-0.3, 0.4, 0.2, 0.1]))


def test_targets_sum_to_zero_over_the_atoms_that_exist():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    vectors = remove_mean(torch.randn(2, 3, 3), mask)
    torch.testing.assert_close(vectors.sum(1), torch.zeros(2, 3), atol=1e-6, rtol=0)
    assert (vectors[0, 2] == 0).all()
