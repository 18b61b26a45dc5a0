"""The three noise processes on one time axis, 0 (clean) to 1 (noise).

Lattice: variance preserving with the cosine schedule, z_t = α z_0 + σ ε; the network predicts v = α ε − σ z_0.
Coordinates: wrapped normal (paper Eq 11) whose width grows geometrically; the network predicts its score, scaled to
unit variance. Types: every atom is absorbed into the mask state with probability 1 − α².
"""

from __future__ import annotations

import functools
import math

import torch

__all__ = ('coordinate_width', 'lattice_signal', 'remove_mean', 'score_scale', 'wrap', 'wrapped_score')

SIGMA_MIN = 0.02
SIGMA_MAX = 0.5
"""Widths in fractions of a lattice vector. The last step goes to the mean, so that the smallest width is not an error
of the samples; making it smaller than the spread of the data (some 0.05 Å) spends the network on noise."""
COSINE_OFFSET = 0.008
NUM_IMAGES = 4


def lattice_signal(time: torch.Tensor) -> torch.Tensor:
    """Return α(t) of the cosine schedule (Nichol and Dhariwal 2021), 1 at t = 0 and about 0.006 at t = 1."""
    angle = 0.5 * math.pi * (time + COSINE_OFFSET) / (1 + COSINE_OFFSET)
    start = math.cos(0.5 * math.pi * COSINE_OFFSET / (1 + COSINE_OFFSET))
    return (torch.cos(angle) / start).clamp(6e-3, 1.0)


def coordinate_width(time: torch.Tensor) -> torch.Tensor:
    """Return the width of the wrapped normal at each time, in fractions of the lattice vectors."""
    return SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** time


def wrap(fractional: torch.Tensor) -> torch.Tensor:
    """Return differences of fractional coordinates in [−½, ½)."""
    return fractional - torch.floor(fractional + 0.5)


def wrapped_score(displacement: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the log density of the wrapped normal, elementwise.

    :param displacement: x_t − x_0, any shape.
    :param width: broadcastable to it.
    """
    images = torch.arange(-NUM_IMAGES, NUM_IMAGES + 1, dtype=displacement.dtype, device=displacement.device)
    shifted = wrap(displacement).unsqueeze(-1) + images
    variance = (width**2).unsqueeze(-1)
    weights = torch.softmax(-0.5 * shifted**2 / variance, dim=-1)
    return -(weights * shifted).sum(dim=-1) / width**2


@functools.lru_cache(maxsize=1)
def _scale_table() -> torch.Tensor:
    """Return the root mean square of the score on a grid of 201 times, by quadrature, shape (201,)."""
    times = torch.linspace(0, 1, 201, dtype=torch.float64)
    widths = coordinate_width(times)
    # Offsets in units of the width where it is narrow, of the cell where it is broad.
    u = torch.linspace(-1, 1, 801, dtype=torch.float64)
    span = torch.minimum(8 * widths, torch.full_like(widths, 0.5))
    x = span[:, None] * u
    score = wrapped_score(x, widths[:, None].expand_as(x))
    images = torch.arange(-NUM_IMAGES, NUM_IMAGES + 1, dtype=torch.float64)
    density = torch.exp(-0.5 * ((x[..., None] + images) / widths[:, None, None]) ** 2).sum(-1)
    return ((density * score**2).sum(1) / density.sum(1)).sqrt()


def score_scale(time: torch.Tensor) -> torch.Tensor:
    """Return the root mean square of the score at each time, same shape as ``time``."""
    table = _scale_table().to(time)
    position = (time * 200).clamp(0, 200)
    low = position.floor().long().clamp(max=199)
    return torch.lerp(table[low], table[low + 1], position - low)


def remove_mean(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return vectors, shape (B, N, 3), with zero sum over the atoms of each structure, and zero on padding.

    :param mask: which atoms exist, shape (B, N).
    """
    present = mask.unsqueeze(-1).to(vectors)
    mean = (vectors * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)
    return (vectors - mean) * present
