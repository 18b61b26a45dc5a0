"""The networks and losses of CDVAE, a variational autoencoder of crystals whose decoder removes noise step by step.

Our own small implementation of T. Xie et al., "Crystal Diffusion Variational Autoencoder for Periodic Material
Generation", ICLR 2022, with the network of the arm `diffcsp` as encoder and as decoder in the place of DimeNet++ and
GemNet. As in the comparisons of DiffCSP (R. Jiao et al., NeurIPS 2023), the latent vector z has a prior that depends on
the composition, so that a structure can be predicted for it. All cells of a batch have the same number of atoms N.
"""

from __future__ import annotations

import itertools
import math
import typing as t

import torch
from torch import Tensor, nn

from arms.cspnet import MAX_ATOMIC_NUMBER, Messages, time_features

LEVELS = 50
STEPS_PER_LEVEL = 100
"""Steps of the Langevin dynamics at each level, as published."""

WIDEST, NARROWEST = 10.0, 0.01
"""Standard deviations of the positions at the first and the last level, Å."""

MOST_MIXED, LEAST_MIXED = 5.0, 0.01
"""Weight of the predicted composition against the true element of an atom at the first and the last level."""

STEP_SIZE = 1e-4
"""Step size of the Langevin dynamics at the last level, Å2."""

WEIGHTS = {'kl': 0.01, 'lattice': 10.0, 'num_atoms': 1.0, 'composition': 1.0, 'coordinates': 10.0, 'types': 1.0}
"""As published."""

KNOWN_TYPES = 0.5
"""Share of the crystals whose elements are not mixed in training, as in the prediction of a structure."""

MAX_ATOMS = 20
ANGLES = (math.radians(60), math.radians(120))
"""Angles of a reduced cell lie between these."""


class Sizes(t.TypedDict):
    """The size of the networks."""

    hidden: int
    encoder_layers: int
    decoder_layers: int
    frequencies: int
    latent: int
    time: int


SMALL: Sizes = {
    'hidden': 64, 'encoder_layers': 2, 'decoder_layers': 4, 'frequencies': 10, 'latent': 32, 'time': 32,
}  # fmt: skip


class CDVAE(nn.Module):
    """Encoder, prior, predictors and decoder."""

    def __init__(
        self, *, hidden: int, encoder_layers: int, decoder_layers: int, frequencies: int, latent: int, time: int
    ) -> None:
        super().__init__()
        self._time = time
        self.encoder = Messages(hidden, encoder_layers, frequencies, 0)
        self.posterior = nn.Linear(hidden, 2 * latent)
        self.elements = nn.Embedding(MAX_ATOMIC_NUMBER, hidden)
        self.prior = perceptron(hidden + 1, hidden, 2 * latent)
        self.lattice = perceptron(latent, hidden, 6)
        self.num_atoms = perceptron(latent, hidden, MAX_ATOMS + 1)
        self.composition = perceptron(latent, hidden, MAX_ATOMIC_NUMBER)
        self.decoder = Messages(hidden, decoder_layers, frequencies, latent + time)
        self.displacement = nn.Linear(hidden, 3, bias=False)
        self.types = nn.Linear(hidden, MAX_ATOMIC_NUMBER)
        self.register_buffer('lattice_mean', torch.zeros(6))
        self.register_buffer('lattice_deviation', torch.ones(6))

    def fit(self, parameters: Tensor) -> None:
        """Take up the statistics of the lattices of the training set, see :func:`lattice_parameters`."""
        self.lattice_mean = parameters.mean(0)
        self.lattice_deviation = parameters.std(0)

    def encode(self, numbers: Tensor, fractional: Tensor, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of z, shape (B, Z) each, of crystals."""
        nodes = self.encoder.atoms(torch.zeros((len(numbers), 0)), numbers, fractional, lattice)
        return self.posterior(nodes.mean(1)).chunk(2, dim=-1)

    def expect(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of z of compositions."""
        size = torch.full((len(numbers), 1), numbers.shape[1] / MAX_ATOMS)
        return self.prior(torch.cat([self.elements(numbers - 1).mean(1), size], dim=-1)).chunk(2, dim=-1)

    def cells(self, z: Tensor, num_atoms: int) -> Tensor:
        """Return the lattices that z predicts; rows are lattice vectors, Å, shape (B, 3, 3)."""
        return lattice_matrices(self.lattice(z) * self.lattice_deviation + self.lattice_mean, num_atoms)

    def denoise(
        self, z: Tensor, level: Tensor, numbers: Tensor, fractional: Tensor, lattice: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the way back to the crystal in units of the noise, shape (B, N, 3), and logits of the elements.

        The noise is Cartesian, and so is the way.

        :param z: shape (B, Z).
        :param level: of the noise, 0 (widest) to ``LEVELS`` - 1, shape (B,).
        """
        context = torch.cat([z, time_features(level + 1.0, self._time)], dim=-1)
        nodes = self.decoder.atoms(context, numbers, fractional, lattice)
        edge = torch.linalg.det(lattice).abs().clamp(min=1.0) ** (1 / 3)
        return self.displacement(nodes) @ lattice / edge[:, None, None], self.types(nodes)


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def lattice_parameters(lattice: Tensor) -> Tensor:
    """Return lengths, Å, and angles, rad, of lattices, shape (B, 6)."""
    lengths = lattice.norm(dim=-1)
    cosines = [
        (lattice[:, i] * lattice[:, j]).sum(-1) / (lengths[:, i] * lengths[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    return torch.cat([lengths, torch.stack(cosines, dim=-1).clamp(-1, 1).acos()], dim=-1)


def scaled_parameters(lattice: Tensor, num_atoms: int) -> Tensor:
    """Return lattice parameters whose lengths are divided by the cube root of the number of atoms, as published."""
    parameters = lattice_parameters(lattice)
    return torch.cat([parameters[:, :3] / num_atoms ** (1 / 3), parameters[:, 3:]], dim=-1)


def lattice_matrices(scaled: Tensor, num_atoms: int) -> Tensor:
    """Return the lattices of :func:`scaled_parameters`; lengths and angles stay within those of real crystals."""
    a, b, c = (scaled[:, :3] * num_atoms ** (1 / 3)).clamp(min=1.0).unbind(-1)
    cos_alpha, cos_beta, cos_gamma = scaled[:, 3:].clamp(*ANGLES).cos().unbind(-1)
    sin_gamma = (1 - cos_gamma**2).sqrt()
    height = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    zero = torch.zeros_like(a)
    rows = [
        torch.stack([a, zero, zero], -1),
        torch.stack([b * cos_gamma, b * sin_gamma, zero], -1),
        c[:, None] * torch.stack([cos_beta, height, (1 - cos_beta**2 - height**2).clamp(min=1e-6).sqrt()], -1),
    ]
    return torch.stack(rows, dim=1)


def widths() -> Tensor:
    """Return the standard deviation of the positions at each level, Å, shape (LEVELS,)."""
    return torch.logspace(math.log10(WIDEST), math.log10(NARROWEST), LEVELS)


def shortest(fractional: Tensor, lattice: Tensor) -> Tensor:
    """Return the shortest Cartesian vector, Å, that differs from fractional ones by a lattice vector, (B, N, 3)."""
    images = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    every = ((fractional - fractional.round()).unsqueeze(2) + images) @ lattice[:, None]
    nearest = every.square().sum(-1).argmin(-1)
    return every.gather(2, nearest[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)


def losses(
    model: CDVAE, numbers: Tensor, fractional: Tensor, lattice: Tensor, *, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the losses of crystals at random levels of noise; their sum by ``WEIGHTS`` is minimised."""
    count, size = numbers.shape
    mean, log_variance = model.encode(numbers, fractional, lattice)
    z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)
    prior_mean, prior_log_variance = model.expect(numbers)
    ratio = log_variance - prior_log_variance
    kl = 0.5 * (ratio.exp() + (mean - prior_mean) ** 2 / prior_log_variance.exp() - 1 - ratio).sum(-1)
    parameters = (scaled_parameters(lattice, size) - model.lattice_mean) / model.lattice_deviation
    composition = model.composition(z)
    level = torch.randint(LEVELS, (count,), generator=generator)
    width = widths()[level][:, None, None]
    noise = width * torch.randn(fractional.shape, generator=generator)
    displaced = fractional + noise @ torch.linalg.inv(lattice)
    mixed = mixed_types(numbers, composition.detach().softmax(-1), level, generator)
    way, types = model.denoise(z, level, mixed, displaced, lattice)
    target = shortest(fractional - displaced, lattice) / width
    entropy = nn.functional.cross_entropy
    every = numbers.flatten() - 1
    return {
        'kl': kl.mean(),
        'lattice': ((model.lattice(z) - parameters) ** 2).mean(),
        'num_atoms': entropy(model.num_atoms(z), torch.full((count,), size)),
        'composition': entropy(composition.repeat_interleave(size, dim=0), every),
        'coordinates': 0.5 * ((way - target) ** 2).sum(-1).mean(),
        'types': entropy(types.flatten(0, 1), every),
    }


def total_loss(parts: dict[str, Tensor]) -> Tensor:
    """Return the weighted sum of the losses."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()


def mixed_types(numbers: Tensor, composition: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Return atomic numbers of which some are drawn from the predicted composition, the more the wider the noise.

    :param composition: probabilities of the elements, shape (B, ``MAX_ATOMIC_NUMBER``).
    """
    weight = torch.logspace(math.log10(MOST_MIXED), math.log10(LEAST_MIXED), LEVELS)[level]
    weight = weight * (torch.rand(len(level), generator=generator) >= KNOWN_TYPES)
    true = nn.functional.one_hot(numbers - 1, MAX_ATOMIC_NUMBER)
    every = true + (weight[:, None] * composition)[:, None]
    return torch.multinomial(every.flatten(0, 1), 1, generator=generator).reshape(numbers.shape) + 1


@torch.no_grad()
def sample(model: CDVAE, numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return lattices (B, 3, 3) and fractional coordinates (B, N, 3) for atomic numbers (B, N).

    The latent vector is drawn from the prior of the composition and predicts the lattice; positions follow annealed
    Langevin dynamics. Elements are given, and stay.
    """
    mean, log_variance = model.expect(numbers)
    z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)
    lattice = model.cells(z, numbers.shape[1])
    inverse = torch.linalg.inv(lattice)
    fractional = torch.rand((*numbers.shape, 3), generator=generator)
    for number, width in enumerate(widths()):
        level = torch.full((len(numbers),), number)
        size = STEP_SIZE * (width / NARROWEST) ** 2
        for _ in range(STEPS_PER_LEVEL):
            way, _ = model.denoise(z, level, numbers, fractional, lattice)
            move = size * way / width + (2 * size).sqrt() * torch.randn(way.shape, generator=generator)
            fractional = (fractional + move @ inverse) % 1.0
    return lattice, fractional
