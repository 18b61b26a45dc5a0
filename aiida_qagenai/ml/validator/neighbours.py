"""The neighbours of atoms, laid out so that sums over them are matrix products, and functions of where they are."""

from __future__ import annotations

import math
import typing as t

import torch
from torch import Tensor

from aiida_qagenai.ml.graph import CrystalGraph

__all__ = ('Neighbours', 'angular_basis', 'bessel_basis', 'polynomial_cutoff')


def polynomial_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """Return an envelope that is 1 at zero and falls to 0 at ``cutoff`` with two continuous derivatives.

    J. Gasteiger et al., "Directional message passing", ICLR 2020, Eq 8 with p = 6.
    """
    x = (distances / cutoff).clamp(max=1.0)
    cube = x * x * x  # powers of tensors are slow
    return 1 - cube * cube * (28 - 48 * x + 21 * x * x)


def bessel_basis(distances: Tensor, cutoff: float, count: int) -> Tensor:
    """Return √(2/c) sin(nπr/c)/r for n = 1 … ``count``, shape (…, count)."""
    orders = torch.arange(1, count + 1, dtype=distances.dtype, device=distances.device)
    r = distances.unsqueeze(-1)
    return math.sqrt(2 / cutoff) * torch.sin(orders * (math.pi / cutoff) * r) / r


def angular_basis(directions: Tensor) -> Tensor:
    """Return 1, r̂ and r̂r̂ − 1/3 of unit vectors (…, 3), each with mean square 1 per rank, shape (…, 10)."""
    x, y, z = directions.unbind(-1)
    first, second = math.sqrt(3.0), math.sqrt(7.5)
    matrix = [x * x - 1 / 3, y * y - 1 / 3, z * z - 1 / 3, x * y, x * z, y * z]
    return torch.stack([torch.ones_like(x), first * x, first * y, first * z, *(second * each for each in matrix)], -1)


class Neighbours(t.NamedTuple):
    """The neighbours of each atom, as many places for each as the atom with most of them needs, K.

    :param senders: atom j of each place, 0 where there is none, shape (N · K,).
    :param directions: unit vectors to the neighbours, shape (N, K, 3).
    :param radial: R_n, zero where there is no neighbour, shape (N, K, n).
    :param envelope: the factor in R_n that falls to zero at the cutoff, shape (N, K, 1).
    :param basis: R_n Y^l, shape (N, 10 · n, K).
    """

    senders: Tensor
    directions: Tensor
    radial: Tensor
    envelope: Tensor
    basis: Tensor

    @classmethod
    def of(cls, graph: CrystalGraph, cutoff: float, num_radial: int) -> Neighbours:
        """Return the neighbours in ``graph``, whose edges are sorted by receiver."""
        vectors, receivers, num_nodes = graph.edge_vectors(), graph.receivers, len(graph.species)
        counts = torch.bincount(receivers, minlength=num_nodes)
        places = max(1, int(counts.max())) if num_nodes else 1
        starts = torch.cumsum(counts, 0) - counts
        index = receivers * places + torch.arange(len(receivers), device=receivers.device) - starts[receivers]
        senders = index.new_zeros(num_nodes * places).index_copy(0, index, graph.senders)
        # A place without a neighbour has one at the cutoff, where the basis and its derivatives vanish.
        empty = vectors.new_tensor([cutoff, 0.0, 0.0]).expand(num_nodes * places, 3)
        padded = empty.index_copy(0, index, vectors).view(num_nodes, places, 3)
        distances = padded.norm(dim=-1)
        directions = padded / distances.unsqueeze(-1)
        envelope = polynomial_cutoff(distances, cutoff).unsqueeze(-1)
        radial = bessel_basis(distances, cutoff, num_radial) * envelope
        angular = angular_basis(directions)
        basis = angular.transpose(1, 2).unsqueeze(2) * radial.transpose(1, 2).unsqueeze(1)
        basis = basis.reshape(num_nodes, angular.shape[-1] * num_radial, places)
        return cls(senders, directions, radial, envelope, basis)
