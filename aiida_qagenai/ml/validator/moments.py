"""The trunk of the validator: a message-passing network in Cartesian tensors up to rank 2.

Each interaction gathers the neighbours of an atom i into moments of rank l = 0, 1, 2,

    A^l_i = Σ_j R_n(r_ij) Y^l(r̂_ij) ⊗ m_j ,

of all radial functions n and all messages m: some mixtures of the scalar features of j and, from the second interaction
on, of its vector features. Everything that depends on a neighbour is there: R_n Y^l is computed once for all
interactions, and the sum over the neighbours is one batched matrix product. What follows acts on atoms, of which there
are far fewer than pairs: the moments are mixed, scaled by element, and contracted to invariants of up to four bodies,

    A0, A1·A1, tr A2², A1·A2·A1, det A2 ,

which a multilayer perceptron turns into the change of the scalar features and the weights of the new vectors A1 and
A2·A1. It is the atomic cluster expansion (R. Drautz, Phys. Rev. B 99, 014104 (2019)) in the Cartesian form of G. Simeon
and G. De Fabritiis (TensorNet, NeurIPS 2023), with the messages of MACE (I. Batatia et al., NeurIPS 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.validator.neighbours import Neighbours

__all__ = ('MomentTrunk',)

RANKS = (1, 3, 6)
"""Components of the moments: a scalar, a vector, and xx, yy, zz, xy, xz, yz of a symmetric traceless matrix."""

NUM_COMPONENTS = sum(RANKS)


def symmetric_traceless(tensors: Tensor) -> Tensor:
    """Return the symmetric traceless part of matrices (N, 3, 3, …) by its six components, shape (N, 6, …)."""
    trace = (tensors[:, 0, 0] + tensors[:, 1, 1] + tensors[:, 2, 2]) / 3
    diagonal = [tensors[:, axis, axis] - trace for axis in range(3)]
    others = [(tensors[:, a, b] + tensors[:, b, a]) / 2 for a, b in ((0, 1), (0, 2), (1, 2))]
    return torch.stack([*diagonal, *others], dim=1)


class Interaction(nn.Module):
    """One exchange with the neighbours (see the module's text).

    :param num_levels: levels above the root, each with a scaling of the moments that starts at zero (FiLM).
    :param vectors_in: vector features that come in, and messages made of them.
    :param vectors_out: vector features that go out; 0 in the last interaction.
    """

    def __init__(
        self,
        channels: int,
        *,
        messages: int,
        vectors_in: int,
        vectors_out: int,
        width: int,
        num_radial: int,
        num_elements: int,
        num_levels: int,
    ) -> None:
        super().__init__()
        self.channels, self.width, self.num_radial = channels, width, num_radial
        self.vectors_in, self.vectors_out = vectors_in, vectors_out
        scalars = num_radial * (messages + vectors_in)
        sizes = [scalars, scalars + num_radial * vectors_in, scalars + num_radial * vectors_in]
        self.message = nn.Linear(channels, messages, bias=False)
        self.mix = nn.ModuleList(nn.Linear(size, width, bias=False) for size in sizes)
        self.film = nn.ParameterList(nn.Parameter(torch.zeros(sum(sizes))) for _ in range(num_levels))
        self.element = nn.Embedding(num_elements, len(RANKS) * width)
        nn.init.ones_(self.element.weight)
        num_invariants = channels + 5 * width
        self.norm = nn.LayerNorm(num_invariants)
        self.update = nn.Sequential(
            nn.Linear(num_invariants, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, channels + (2 * width if vectors_out else 0)),
        )
        self.vector = nn.Linear(width, vectors_out, bias=False) if vectors_out else None

    def moments(self, scalars: Tensor, vectors: Tensor | None, neighbours: Neighbours) -> list[Tensor]:
        """Return the moments of rank 0, 1 and 2 before they are mixed: shapes (N, a), (N, 3, b), (N, 6, b)."""
        (num_nodes, places, _), radial = neighbours.directions.shape, self.num_radial
        sent = self.message(scalars).index_select(0, neighbours.senders).view(num_nodes, places, -1)
        if vectors is None:
            found = torch.bmm(neighbours.basis, sent).view(num_nodes, NUM_COMPONENTS, -1)
            return [found[:, 0], found[:, 1:4], found[:, 4:]]
        arrows = vectors.index_select(0, neighbours.senders).view(num_nodes, places, 3, -1)
        along = (arrows * neighbours.directions.unsqueeze(-1)).sum(2)
        found = torch.bmm(neighbours.basis, torch.cat([sent, along], -1)).view(num_nodes, NUM_COMPONENTS, -1)
        # The first four components of the basis, 1 and r̂, times a vector: a vector and a matrix.
        products = torch.bmm(neighbours.basis[:, : 4 * radial], arrows.flatten(2)).view(num_nodes, 4, radial, 3, -1)
        products = products.transpose(2, 3).flatten(3)
        return [
            found[:, 0],
            torch.cat([found[:, 1:4], products[:, 0]], -1),
            torch.cat([found[:, 4:], symmetric_traceless(products[:, 1:])], -1),
        ]

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        neighbours: Neighbours,
        *,
        species: Tensor,
        chain: Sequence[int],
        normalisation: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the new scalars (N, channels) and vectors (N, 3, vectors_out).

        :param chain: levels between the root, which it leaves out, and the one in question.
        """
        moments = self.moments(scalars, vectors, neighbours)
        if chain:
            film = 1 + torch.stack([self.film[level - 1] for level in chain]).sum(0)
            parts = film.split([linear.in_features for linear in self.mix])  # type: ignore[misc]
            moments = [moment * part for moment, part in zip(moments, parts, strict=True)]
        scale = self.element(species).view(-1, len(RANKS), self.width) * normalisation
        mixed = [linear(moment) for linear, moment in zip(self.mix, moments, strict=True)]
        a0, a1, a2 = mixed[0] * scale[:, 0], mixed[1] * scale[:, 1:2], mixed[2] * scale[:, 2:3]
        turned, *invariants = contractions(a1, a2)
        change = self.update(self.norm(torch.cat([scalars, a0, *invariants], -1)))
        new = scalars + change[:, : self.channels]
        if self.vector is None:
            return new, None
        weights = change[:, self.channels :].view(-1, 2, 1, self.width)
        return new, self.vector(weights[:, 0] * a1 + weights[:, 1] * turned)


def contractions(vectors: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return M·v (N, 3, k) and the invariants v·v, tr M², v·M·v and det M, each (N, k).

    :param vectors: v, shape (N, 3, k).
    :param matrices: the six components of M, shape (N, 6, k).
    """
    x, y, z = vectors.unbind(1)
    xx, yy, zz, xy, xz, yz = matrices.unbind(1)
    turned = torch.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z], 1)
    square = (matrices[:, :3] ** 2).sum(1) + 2 * (matrices[:, 3:] ** 2).sum(1)
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return turned, (vectors**2).sum(1), square, (vectors * turned).sum(1), determinant


class MomentTrunk(nn.Module):
    """Embedding of the elements and all interactions.

    :param messages: messages made of the scalars of an atom.
    :param vectors: vector features between two interactions.
    :param width: mixtures of the moments of each rank.
    """

    mean_neighbours: Tensor

    def __init__(
        self,
        num_elements: int,
        num_levels: int,
        *,
        channels: int,
        messages: int,
        vectors: int,
        width: int,
        num_layers: int,
        cutoff: float,
        num_radial: int,
    ) -> None:
        super().__init__()
        self.cutoff, self.num_radial = cutoff, num_radial
        self.embedding = nn.Embedding(num_elements, channels)
        self.layers = nn.ModuleList(
            Interaction(
                channels,
                messages=messages,
                vectors_in=vectors if index else 0,
                vectors_out=vectors if index < num_layers - 1 else 0,
                width=width,
                num_radial=num_radial,
                num_elements=num_elements,
                num_levels=num_levels,
            )
            for index in range(num_layers)
        )
        self.register_buffer('mean_neighbours', torch.tensor(1.0))

    def forward(self, graph: CrystalGraph, chain: Sequence[int], neighbours: Neighbours | None = None) -> Tensor:
        """Return the scalar features of each atom, shape (N, channels).

        :param neighbours: those in ``graph``, if they are known.
        """
        neighbours = neighbours or Neighbours.of(graph, self.cutoff, self.num_radial)
        normalisation = self.mean_neighbours.rsqrt()
        scalars, vectors = self.embedding(graph.species), None
        for layer in self.layers:
            scalars, vectors = layer(
                scalars, vectors, neighbours, species=graph.species, chain=chain, normalisation=normalisation
            )
        return scalars
