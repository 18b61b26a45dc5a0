"""The noise processes."""

import torch

from aiida_qagenai.ml.generator.diffusion import (
    coordinate_width,
    lattice_signal,
    remove_mean,
    score_scale,
    wrap,
    wrapped_score,
)


def log_density(displacement, width):
    """Return the log density of the wrapped normal by summing over many images."""
    images = torch.arange(-20, 21, dtype=torch.float64)
    return torch.logsumexp(-0.5 * ((displacement.unsqueeze(-1) + images) / width) ** 2, dim=-1)


def test_the_score_is_the_gradient_of_the_log_density():
    for width in (0.01, 0.1, 0.3, 0.5):
        x = torch.linspace(-0.49, 0.49, 37, dtype=torch.float64, requires_grad=True)
        (expected,) = torch.autograd.grad(log_density(x, width).sum(), x)
        torch.testing.assert_close(wrapped_score(x.detach(), torch.tensor(width)), expected, rtol=1e-6, atol=1e-6)


def test_the_score_is_periodic():
    x, width = torch.rand(50, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)
    torch.testing.assert_close(wrapped_score(x, width), wrapped_score(x + 3, width))


def test_the_scaled_score_has_unit_variance():
    for time in (0.0, 0.3, 0.6, 0.9):
        t = torch.tensor(time, dtype=torch.float64)
        x = coordinate_width(t) * torch.randn(200_000, dtype=torch.float64)
        ratio = wrapped_score(x, coordinate_width(t)).pow(2).mean().sqrt() / score_scale(t)
        assert abs(ratio.item() - 1) < 0.02


def test_the_cosine_schedule_goes_from_signal_to_noise():
    signal = lattice_signal(torch.linspace(0, 1, 11, dtype=torch.float64))
    assert signal[0] == 1
    assert signal[-1] < 0.02
    assert (signal.diff() < 0).all()


def test_wrapping_gives_the_nearest_difference():
    torch.testing.assert_close(wrap(torch.tensor([0.7, -0.6, 1.2, 0.1])), torch.tensor([-0.3, 0.4, 0.2, 0.1]))


def test_targets_sum_to_zero_over_the_atoms_that_exist():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    vectors = remove_mean(torch.randn(2, 3, 3), mask)
    torch.testing.assert_close(vectors.sum(1), torch.zeros(2, 3), atol=1e-6, rtol=0)
    assert (vectors[0, 2] == 0).all()
