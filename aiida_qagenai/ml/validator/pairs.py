"""A strictly local trunk of the validator, made of pairs of atoms, after Allegro.

Every pair of an atom i and a neighbour j has scalar features x_ij and equivariant ones V_ij of rank 0 and 1. In each
layer the environment of i,

    Γ_i = Σ_k w(x_ik) Y(r̂_ik) ,

multiplies the equivariant features of all its pairs, and the scalars of the products update x_ij. The features of an
atom are the sum over its pairs. Nothing passes from one atom to another, so that an atom never depends on what is
further away than the cutoff: the network scales to any number of processors (A. Musaelian et al., Nat. Commun. 14, 579
(2023)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.validator.neighbours import Neighbours, angular_basis

__all__ = ('PairTrunk',)


class PairLayer(nn.Module):
    """One product of the pairs with the environment of their atom.

    :param tensors: equivariant features of a pair, of each rank.
    :param num_levels: levels above the root, each with a scaling of the environment that starts at zero (FiLM).
    """

    def __init__(self, channels: int, tensors: int, *, num_levels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels, 2 * tensors)
        self.film = nn.ParameterList(nn.Parameter(torch.zeros(2 * tensors)) for _ in range(num_levels))
        self.scalar = nn.Linear(2 * tensors, tensors, bias=False)
        self.vector = nn.Linear(2 * tensors, tensors, bias=False)
        self.update = nn.Sequential(
            nn.Linear(channels + 2 * tensors, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )

    def forward(
        self,
        pairs: Tensor,
        scalars: Tensor,
        vectors: Tensor,
        *,
        angular: Tensor,
        envelope: Tensor,
        chain: Sequence[int],
        normalisation: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new x (N, K, c) and V: (N, K, t) and (N, K, 3, t).

        :param angular: 1 and r̂, shape (N, K, 4).
        :param chain: levels between the root, which it leaves out, and the one in question.
        """
        weights = self.weight(pairs) * envelope
        if chain:
            weights = weights * (1 + torch.stack([self.film[level - 1] for level in chain]).sum(0))
        first, second = weights.chunk(2, dim=-1)
        environment_scalar = first.sum(1, keepdim=True) * normalisation
        environment_vector = torch.bmm(angular[..., 1:].transpose(1, 2), second).unsqueeze(1) * normalisation
        products = torch.cat([scalars * environment_scalar, (vectors * environment_vector).sum(2)], -1)
        arrows = [scalars.unsqueeze(2) * environment_vector, vectors * environment_scalar.unsqueeze(2)]
        change = self.update(torch.cat([pairs, products], -1)) * envelope
        return (pairs + change) * math.sqrt(0.5), self.scalar(products), self.vector(torch.cat(arrows, -1))


class PairTrunk(nn.Module):
    """Embedding of the pairs, all layers, and the sum over the pairs of an atom."""

    mean_neighbours: Tensor

    def __init__(
        self,
        num_elements: int,
        num_levels: int,
        *,
        channels: int,
        tensors: int,
        num_layers: int,
        cutoff: float,
        num_radial: int,
    ) -> None:
        super().__init__()
        self.cutoff, self.num_radial = cutoff, num_radial
        self.embedding = nn.Embedding(num_elements, channels)
        self.sender = nn.Linear(channels, channels, bias=False)
        self.receiver = nn.Linear(channels, channels, bias=False)
        self.radial = nn.Linear(num_radial, channels, bias=False)
        self.start = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.tensors = nn.Linear(channels, 2 * tensors)
        self.layers = nn.ModuleList(PairLayer(channels, tensors, num_levels=num_levels) for _ in range(num_layers))
        self.out = nn.Linear(channels, channels)
        self.register_buffer('mean_neighbours', torch.tensor(1.0))

    def forward(self, graph: CrystalGraph, chain: Sequence[int], neighbours: Neighbours | None = None) -> Tensor:
        """Return the scalar features of each atom, shape (N, channels).

        :param neighbours: those in ``graph``, if they are known.
        """
        neighbours = neighbours or Neighbours.of(graph, self.cutoff, self.num_radial)
        envelope, (num_nodes, places, _) = neighbours.envelope, neighbours.directions.shape
        normalisation = self.mean_neighbours.rsqrt()
        elements = self.embedding(graph.species)
        sent = self.sender(elements).index_select(0, neighbours.senders).view(num_nodes, places, -1)
        pairs = self.start(self.radial(neighbours.radial) * (self.receiver(elements).unsqueeze(1) + sent)) * envelope
        angular = angular_basis(neighbours.directions)[..., :4]
        scalars, weights = (self.tensors(pairs) * envelope).chunk(2, dim=-1)
        vectors = angular[..., 1:].unsqueeze(-1) * weights.unsqueeze(2)
        for layer in self.layers:
            pairs, scalars, vectors = layer(
                pairs, scalars, vectors, angular=angular, envelope=envelope, chain=chain, normalisation=normalisation
            )
        features: Tensor = elements + self.out((pairs * envelope).sum(1) * normalisation)
        return features
