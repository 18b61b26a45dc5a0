"""Lattices as six numbers: s = ½ log G in an orthonormal basis of the symmetric matrices, whitened.

G = A Aᵀ is the metric tensor of the lattice vectors (rows of A), so that nothing depends on the orientation, and
G = exp(2s) is positive definite whatever the six numbers are. The paper's Eq 10 adds noise to G itself, which leaves
the positive definite cone in about 99 % of the draws. The trace of s is the log of the volume; the log of the number
of atoms is taken off it, so that cells of all sizes share one distribution.
"""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ('LatticeCode', 'basis', 'cell_from_metric', 'log_coordinates', 'metric_from_coordinates')

MIN_DEVIATION = 0.02
"""Floor of the spread along each principal axis of the coordinates: a strain of about 2 %."""


def basis(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return six orthonormal symmetric matrices, shape (6, 3, 3); the first is the unit matrix over √3."""
    matrices = torch.zeros(6, 3, 3, dtype=dtype)
    matrices[0] = torch.eye(3, dtype=dtype) / math.sqrt(3)
    matrices[1] = torch.diag(torch.tensor([1.0, -1.0, 0.0], dtype=dtype)) / math.sqrt(2)
    matrices[2] = torch.diag(torch.tensor([1.0, 1.0, -2.0], dtype=dtype)) / math.sqrt(6)
    for index, (i, j) in enumerate(((0, 1), (0, 2), (1, 2)), start=3):
        matrices[index, i, j] = matrices[index, j, i] = 1 / math.sqrt(2)
    return matrices


def log_coordinates(metric: torch.Tensor) -> torch.Tensor:
    """Return the coordinates of ½ log G, shape (B, 6), of metric tensors, shape (B, 3, 3), Å2."""
    values, vectors = torch.linalg.eigh(metric)
    logarithm = torch.einsum('bij,bj,bkj->bik', vectors, 0.5 * values.log(), vectors)
    return torch.einsum('nij,bij->bn', basis(metric.dtype).to(metric.device), logarithm)


def metric_from_coordinates(coordinates: torch.Tensor) -> torch.Tensor:
    """Return G = exp(2s), shape (B, 3, 3), of coordinates, shape (B, 6)."""
    s = torch.einsum('nij,bn->bij', basis(coordinates.dtype).to(coordinates.device), coordinates)
    values, vectors = torch.linalg.eigh(s)
    return torch.einsum('bij,bj,bkj->bik', vectors, (2 * values).exp(), vectors)


def cell_from_metric(metric: torch.Tensor) -> torch.Tensor:
    """Return lattice vectors as rows in a fixed right-handed orientation, shape (B, 3, 3)."""
    return torch.linalg.cholesky(metric)


class LatticeCode(nn.Module):
    """Whitened lattice coordinates z = W (c − m) with the statistics of the training set."""

    mean: torch.Tensor
    whiten: torch.Tensor
    colour: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(6))
        self.register_buffer('whiten', torch.eye(6))
        self.register_buffer('colour', torch.eye(6))

    def fit(self, coordinates: torch.Tensor, weights: torch.Tensor) -> None:
        """Set the statistics from size-free coordinates, shape (R, 6), with ``weights``, shape (R,)."""
        coordinates = coordinates.double()
        weights = weights.double() / weights.double().sum()
        mean = weights @ coordinates
        centred = coordinates - mean
        values, vectors = torch.linalg.eigh(centred.T @ (centred * weights[:, None]))
        deviations = values.clamp(min=MIN_DEVIATION**2).sqrt()
        self.mean.copy_(mean)
        self.whiten.copy_(vectors / deviations @ vectors.T)
        self.colour.copy_(vectors * deviations @ vectors.T)

    def encode(self, coordinates: torch.Tensor, num_atoms: torch.Tensor) -> torch.Tensor:
        """Return z, shape (B, 6), of the coordinates of ½ log G, shape (B, 6)."""
        return (size_free(coordinates, num_atoms) - self.mean) @ self.whiten

    def coordinates(self, z: torch.Tensor, num_atoms: torch.Tensor) -> torch.Tensor:
        """Return the coordinates of ½ log G, shape (B, 6), of z, shape (B, 6)."""
        return size_free(z @ self.colour + self.mean, 1 / num_atoms.to(z))

    def decode(self, z: torch.Tensor, num_atoms: torch.Tensor) -> torch.Tensor:
        """Return the metric tensors, shape (B, 3, 3), of z, shape (B, 6)."""
        return metric_from_coordinates(self.coordinates(z, num_atoms))


def size_free(coordinates: torch.Tensor, num_atoms: torch.Tensor) -> torch.Tensor:
    """Return the coordinates with the log of the number of atoms, shape (B,), taken off the log volume."""
    shift = torch.zeros_like(coordinates)
    shift[:, 0] = num_atoms.to(coordinates).log() / math.sqrt(3)
    return coordinates - shift
