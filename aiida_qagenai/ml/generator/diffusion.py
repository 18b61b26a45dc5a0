"""The three noise processes on one time axis, 0 (clean) to 1 (noise).

Lattice: variance preserving, z_t = α z_0 + σ ε; the network predicts v = α ε − σ z_0. Coordinates: wrapped normal
(paper Eq 11) whose width grows geometrically; the network predicts the displacement to the clean structure on the
torus. Types: every atom is absorbed into the mask state with probability 1 − α².
"""

from __future__ import annotations

import math

import torch

__all__ = ('coordinate_width', 'lattice_noise', 'lattice_signal', 'remove_mean', 'wrap')

SIGMA_MIN = 0.005
SIGMA_MAX = 0.5
"""Widths in fractions of a lattice vector."""


def lattice_noise(time: torch.Tensor) -> torch.Tensor:
    """Return σ(t) = sin²(π t / 2): a strain is about as large as the displacements at the same time."""
    return torch.sin(0.5 * math.pi * time) ** 2


def lattice_signal(time: torch.Tensor) -> torch.Tensor:
    """Return α(t) with α² + σ² = 1."""
    return (1 - lattice_noise(time) ** 2).clamp(min=0).sqrt()


def coordinate_width(time: torch.Tensor) -> torch.Tensor:
    """Return the width of the wrapped normal at each time, in fractions of the lattice vectors."""
    return SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** time


def wrap(fractional: torch.Tensor) -> torch.Tensor:
    """Return differences of fractional coordinates in [−½, ½)."""
    return fractional - torch.floor(fractional + 0.5)


def remove_mean(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return vectors, shape (B, N, 3), with zero sum over the atoms of each structure, and zero on padding.

    :param mask: which atoms exist, shape (B, N).
    """
    present = mask.unsqueeze(-1).to(vectors)
    mean = (vectors * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)
    return (vectors - mean) * present
