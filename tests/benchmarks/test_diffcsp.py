"""The pieces of the arm `diffcsp`: symmetries of the network, score of the noise, and sampling with a known score."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from arms.csp_diffusion import STEPS, Schedule, losses, sample, wrapped_score
from arms.cspnet import CSPNet

SIZES = {'hidden': 16, 'layers': 2, 'frequencies': 4, 'time': 8}


@pytest.fixture
def model():
    """Return a small network with random weights in double precision."""
    torch.manual_seed(1)
    return CSPNet(**SIZES).double()


@pytest.fixture
def crystals():
    """Return steps, atomic numbers, fractional coordinates and lattices of three random crystals of five atoms."""
    generator = torch.Generator().manual_seed(2)
    numbers = torch.randint(1, 101, (3, 5), generator=generator)
    fractional = torch.rand((3, 5, 3), generator=generator, dtype=torch.float64)
    lattice = 3 * torch.eye(3, dtype=torch.float64) + torch.randn((3, 3, 3), generator=generator, dtype=torch.float64)
    return torch.tensor([1, 400, STEPS]), numbers, fractional, lattice


def test_the_network_does_not_see_translations(model, crystals):
    time, numbers, fractional, lattice = crystals
    noise, score = model(time, numbers, fractional, lattice)
    cells = torch.tensor([[0, 1, -2]] * 5, dtype=torch.float64)
    moved, moved_score = model(time, numbers, fractional + torch.tensor([0.3, -0.2, 0.9]) + cells, lattice)
    torch.testing.assert_close((moved, moved_score), (noise, score))
    other, _ = model(time, numbers, fractional * 1.1, lattice)
    assert (other - noise).abs().max() > 1e-4


def test_the_network_follows_permutations_and_rotations(model, crystals):
    time, numbers, fractional, lattice = crystals
    noise, score = model(time, numbers, fractional, lattice)
    order = torch.tensor([3, 0, 4, 1, 2])
    same, permuted = model(time, numbers[:, order], fractional[:, order], lattice)
    torch.testing.assert_close((same, permuted), (noise, score[:, order]))
    rotation, _ = torch.linalg.qr(torch.randn((3, 3), dtype=torch.float64))
    rotated, same = model(time, numbers, fractional, lattice @ rotation)
    torch.testing.assert_close((rotated, same), (noise @ rotation, score))


@pytest.mark.parametrize('width', [0.005, 0.1, 0.5])
def test_the_score_is_the_derivative_of_the_wrapped_normal_distribution(width):
    def logarithm(x: Tensor) -> Tensor:
        images = torch.arange(-30, 31, dtype=torch.float64)
        return torch.logsumexp(-((x[:, None] + images) ** 2) / (2 * width**2), dim=1)

    x = torch.linspace(-1.9, 2.3, 84, dtype=torch.float64)
    step = 1e-6
    numerical = (logarithm(x + step) - logarithm(x - step)) / (2 * step)
    found = wrapped_score(x, torch.full_like(x, width))
    torch.testing.assert_close(found, numerical, rtol=1e-5, atol=1e-5)


def test_the_schedule_ends_in_noise_and_knows_the_size_of_the_score():
    schedule = Schedule.build()
    assert schedule.signal[0] == 1
    assert schedule.signal[-1] < 1e-6
    assert (schedule.width.diff() > 0).all()
    assert [float(schedule.width[step]) for step in (0, 1, STEPS)] == pytest.approx([0, 0.005, 0.5])
    for step in (1, 700, STEPS):
        width = schedule.width[step].expand(200_000)
        drawn = wrapped_score(width * torch.randn(len(width), generator=torch.Generator().manual_seed(3)), width)
        assert float(schedule.score_size[step]) == pytest.approx(float(drawn.square().mean().sqrt()), rel=0.02)


class KnownCrystal(nn.Module):
    """The exact noise and score of a distribution that holds one crystal."""

    def __init__(self, schedule: Schedule, fractional: Tensor, lattice: Tensor) -> None:
        super().__init__()
        self.schedule, self.fractional, self.cell = schedule, fractional, lattice

    def forward(self, time: Tensor, numbers: Tensor, fractional: Tensor, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """Return both as the network does."""
        signal = self.schedule.signal[time][:, None, None]
        width = self.schedule.width[time][:, None, None].expand(fractional.shape)
        score = wrapped_score(fractional - self.fractional, width) / self.schedule.score_size[time][:, None, None]
        return (lattice - signal.sqrt() * self.cell) / (1 - signal).sqrt(), score


def test_sampling_with_the_exact_score_finds_the_crystal():
    schedule = Schedule.build()
    fractional = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.5, 0.0]])
    lattice = torch.tensor([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, -1.0, 6.0]])
    numbers = torch.tensor([[3, 1]] * 4)
    model = KnownCrystal(schedule, fractional, lattice)
    cells, positions = sample(model, schedule, numbers, torch.Generator().manual_seed(4))
    torch.testing.assert_close(cells, lattice.expand(4, 3, 3), atol=0.02, rtol=0)
    away = positions - fractional
    assert (away - away.round()).abs().max() < 0.02
    crystals = (numbers, fractional.expand(4, 2, 3), lattice.expand(4, 3, 3))
    noisy = losses(model, schedule, *crystals, generator=torch.Generator())
    assert max(float(value) for value in noisy.values()) < 1e-6
