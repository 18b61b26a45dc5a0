"""The network of DiffCSP: messages between all atoms of a cell, invariant to rotations and lattice translations.

Our own implementation of R. Jiao et al., "Crystal Structure Prediction by Joint Equivariant Diffusion", NeurIPS 2023.
All cells of a batch have the same number of atoms N, so that edges are a dense array (B, N, N); as published, an atom
also sends a message to itself.
"""

from __future__ import annotations

import math
import typing as t
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor, nn

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS

MAX_ATOMIC_NUMBER = 100


class Sizes(t.TypedDict):
    """The size of a network."""

    hidden: int
    layers: int
    frequencies: int
    time: int


SMALL: Sizes = {'hidden': 128, 'layers': 4, 'frequencies': 10, 'time': 256}
PUBLISHED: Sizes = {'hidden': 512, 'layers': 6, 'frequencies': 128, 'time': 256}
"""Of the network that was published for MP-20."""


class Messages(nn.Module):
    """Features of the atoms of crystals, from their elements, where they are, and further features of each crystal.

    :param context: number of these further features.
    """

    def __init__(self, hidden: int, layers: int, frequencies: int, context: int) -> None:
        super().__init__()
        self.register_buffer('frequencies', 2 * math.pi * torch.arange(frequencies), persistent=False)
        self.elements = nn.Embedding(MAX_ATOMIC_NUMBER, hidden)
        self.start = nn.Linear(hidden + context, hidden)
        self.layers = nn.ModuleList(Layer(hidden, 6 * frequencies) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def atoms(self, context: Tensor, numbers: Tensor, fractional: Tensor, lattice: Tensor) -> Tensor:
        """Return the features of the atoms, shape (B, N, H).

        :param context: shape (B, C).
        :param numbers: atomic numbers, shape (B, N).
        :param fractional: shape (B, N, 3); any multiple of a lattice vector may be added.
        :param lattice: rows are lattice vectors, Å, shape (B, 3, 3).
        """
        context = context[:, None].expand(-1, numbers.shape[1], -1)
        nodes = self.start(torch.cat([self.elements(numbers - 1), context], dim=-1))
        differences = fractional[:, None] - fractional[:, :, None]
        angles = (differences.unsqueeze(-1) * self.frequencies).flatten(-2)
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        products = (lattice @ lattice.transpose(1, 2)).flatten(1)
        for layer in self.layers:
            nodes = nodes + layer(nodes, products, waves)
        return self.norm(nodes)


class CSPNet(Messages):
    """Noise of the lattice and score of the fractional coordinates of noisy crystals."""

    def __init__(self, hidden: int, layers: int, frequencies: int, time: int) -> None:
        super().__init__(hidden, layers, frequencies, time)
        self._time = time
        self.score = nn.Linear(hidden, 3, bias=False)
        self.lattice = nn.Linear(hidden, 9, bias=False)

    def forward(self, time: Tensor, numbers: Tensor, fractional: Tensor, lattice: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise of the lattice, shape (B, 3, 3), and the score relative to its mean size, (B, N, 3).

        :param time: steps of the diffusion, 1 to T, shape (B,).
        :param numbers: atomic numbers, shape (B, N).
        :param fractional: shape (B, N, 3).
        :param lattice: rows are lattice vectors, Å, shape (B, 3, 3).
        """
        nodes = self.atoms(time_features(time, self._time), numbers, fractional, lattice)
        return self.lattice(nodes.mean(dim=1)).unflatten(-1, (3, 3)) @ lattice, self.score(nodes)


class Layer(nn.Module):
    """Messages over all edges and the update of the atoms.

    The first layer of the messages acts on the two atoms, the lattice and the difference of the positions side by side;
    as it is linear, each part is computed where it is smallest.
    """

    def __init__(self, hidden: int, waves: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.receiver = nn.Linear(hidden, hidden)
        self.sender = nn.Linear(hidden, hidden, bias=False)
        self.lattice = nn.Linear(9, hidden, bias=False)
        self.waves = nn.Linear(waves, hidden, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.node = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())

    def forward(self, nodes: Tensor, products: Tensor, waves: Tensor) -> Tensor:
        """Return the change of the atoms.

        :param nodes: shape (B, N, H).
        :param products: inner products of the lattice vectors, shape (B, 9).
        :param waves: of the differences of atom j (last) and atom i, shape (B, N, N, W).
        """
        nodes = self.norm(nodes)
        first = self.receiver(nodes) + self.lattice(products).unsqueeze(1)
        messages = self.message(self.waves(waves) + first.unsqueeze(2) + self.sender(nodes).unsqueeze(1))
        return self.node(torch.cat([nodes, messages.mean(dim=2)], dim=-1))


def time_features(time: Tensor, size: int) -> Tensor:
    """Return sines and cosines of the step, shape (B, size)."""
    rates = torch.exp(torch.arange(size // 2, device=time.device) * (-math.log(10000) / (size // 2 - 1)))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def atomic_numbers(compositions: Sequence[Mapping[str, int]]) -> Tensor:
    """Return the atoms of cells of one size N, shape (B, N)."""
    return torch.tensor([[ATOMIC_NUMBERS[symbol] for symbol in _atoms(one)] for one in compositions])


def structures(
    compositions: Sequence[Mapping[str, int]], lattices: Tensor, fractional: Tensor
) -> list[Structure | None]:
    """Return crystals by lengths and angles, as published; ``None`` where lattice vectors lie in a plane.

    :param compositions: as in :func:`atomic_numbers`.
    :param lattices: rows are lattice vectors, Å, shape (B, 3, 3).
    :param fractional: shape (B, N, 3).
    """
    found: list[Structure | None] = []
    for one, lattice, positions in zip(
        compositions, lattices.double().numpy(), fractional.double().numpy(), strict=True
    ):
        if np.isfinite(lattice).all() and np.isfinite(positions).all() and abs(np.linalg.det(lattice)) >= 0.1:
            found.append(Structure(Lattice.from_parameters(*Lattice(lattice).parameters), _atoms(one), positions))
        else:
            found.append(None)
    return found


def _atoms(composition: Mapping[str, int]) -> list[str]:
    return [symbol for symbol, amount in composition.items() for _ in range(amount)]
