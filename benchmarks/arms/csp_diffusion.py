"""The diffusion of DiffCSP: Gaussian noise on the lattice, wrapped Gaussian noise on the fractional coordinates.

Our own implementation of R. Jiao et al., NeurIPS 2023, with its schedules and its predictor-corrector sampling.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from arms.cspnet import CSPNet

STEPS = 1000
NARROWEST, WIDEST = 0.005, 0.5
"""Standard deviations of the fractional coordinates at the first and the last step."""

CORRECTOR = 1e-5
"""Step size of the corrector that was published for MP-20."""

LONGEST = 20.0
"""Largest component of a lattice vector that a prediction may have, Å."""

IMAGES = 10
"""Lattice translations to each side over which the wrapped normal distribution is summed."""


def wrapped_score(displacement: Tensor, width: Tensor) -> Tensor:
    """Return d log p / dx of the wrapped normal distribution of period 1 at ``displacement`` from its centre."""
    shifted = (displacement - displacement.round()).unsqueeze(-1) + torch.arange(-IMAGES, IMAGES + 1)
    variance = (width**2).unsqueeze(-1)
    weights = torch.softmax(-(shifted**2) / (2 * variance), dim=-1)
    return -(weights * shifted / variance).sum(-1)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Noise levels of the steps 0 (none) to ``STEPS``, each of shape (STEPS + 1,).

    :param signal: share of the variance of the lattice that is signal, ᾱ.
    :param beta: variance that a step adds to the lattice.
    :param width: standard deviation of the fractional coordinates.
    :param score_size: root of the mean square of the score of the coordinates.
    """

    signal: Tensor
    beta: Tensor
    width: Tensor
    score_size: Tensor

    @classmethod
    def build(cls) -> Schedule:
        """Return the published schedule: a cosine for the lattice, a geometric series for the coordinates."""
        angles = (torch.linspace(0, 1, STEPS + 1, dtype=torch.float64) + 0.008) / 1.008 * (math.pi / 2)
        signal = angles.cos() ** 2
        beta = torch.cat([torch.zeros(1), (1 - signal[1:] / signal[:-1]).clip(1e-4, 0.9999)])
        width = torch.logspace(math.log10(NARROWEST), math.log10(WIDEST), STEPS, dtype=torch.float64)
        points = torch.linspace(-5, 5, 2001, dtype=torch.float64)
        weights = torch.softmax(-(points**2) / 2, dim=0)
        squares = torch.stack([(weights * wrapped_score(points * each, each) ** 2).sum() for each in width])
        return cls(
            signal=torch.cumprod(1 - beta, dim=0).float(),
            beta=beta.float(),
            width=torch.cat([torch.zeros(1), width]).float(),
            score_size=torch.cat([torch.ones(1), squares.sqrt()]).float(),
        )


def losses(
    model: CSPNet,
    schedule: Schedule,
    numbers: Tensor,
    fractional: Tensor,
    lattice: Tensor,
    *,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the two losses of crystals at random steps (shapes as in :class:`CSPNet`)."""
    time = torch.randint(1, STEPS + 1, (len(numbers),), generator=generator)
    epsilon = torch.randn(lattice.shape, generator=generator)
    signal = schedule.signal[time][:, None, None]
    width = schedule.width[time][:, None, None].expand(fractional.shape)
    displacement = width * torch.randn(fractional.shape, generator=generator)
    noisy = signal.sqrt() * lattice + (1 - signal).sqrt() * epsilon
    noise, score = model(time, numbers, fractional + displacement, noisy)
    target = wrapped_score(displacement, width) / schedule.score_size[time][:, None, None]
    return {'lattice': ((noise - epsilon) ** 2).mean(), 'coordinates': ((score - target) ** 2).mean()}


@torch.no_grad()
def sample(model: CSPNet, schedule: Schedule, numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return lattices (B, 3, 3) and fractional coordinates (B, N, 3) for atomic numbers (B, N).

    At each step, a corrector moves the coordinates along the score at the same noise, and the predictor takes lattice
    and coordinates to the next lower noise: two evaluations of the network per step. Unlike the published sampling,
    the predicted lattice without noise is kept within ``LONGEST``, as is usual for images: where hardly any signal is
    left, the small errors of a small network are multiplied by a hundred.
    """
    lattice = torch.randn((len(numbers), 3, 3), generator=generator)
    fractional = torch.rand((*numbers.shape, 3), generator=generator)
    for step in range(STEPS, 0, -1):
        time = torch.full((len(numbers),), step)
        width, lower = schedule.width[step], schedule.width[step - 1]
        size = CORRECTOR * (width / NARROWEST) ** 2
        last = step == 1

        def normal(like: Tensor, last: bool = last) -> Tensor:
            return torch.zeros_like(like) if last else torch.randn(like.shape, generator=generator)

        _, score = model(time, numbers, fractional, lattice)
        fractional = fractional + size * schedule.score_size[step] * score + (2 * size).sqrt() * normal(fractional)
        noise, score = model(time, numbers, fractional, lattice)
        drift = width**2 - lower**2
        fractional = fractional + drift * schedule.score_size[step] * score
        fractional = (fractional + lower / width * drift.sqrt() * normal(fractional)) % 1.0
        beta, signal, before = schedule.beta[step], schedule.signal[step], schedule.signal[step - 1]
        clean = ((lattice - (1 - signal).sqrt() * noise) / signal.sqrt()).clamp(-LONGEST, LONGEST)
        lattice = (before.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before) * lattice) / (1 - signal)
        lattice = lattice + (beta * (1 - before) / (1 - signal)).sqrt() * normal(lattice)
    return lattice, fractional
