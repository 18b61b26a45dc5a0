"""Quantities of the reduced cell, differentiable: lengths a ≤ b ≤ c, their ratios, and angles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aiida_qagenai.ml.generator.reduction import shortest_basis

__all__ = ('angles', 'lengths_and_ratios')


def lengths_and_ratios(cells: Tensor) -> Tensor:
    """Return a, b, c (Å), b/a, c/a and c/b of the reduced cells, shape (B, 6)."""
    a, b, c = _reduced(cells).norm(dim=2).unbind(1)
    return torch.stack([a, b, c, b / a, c / a, c / b], dim=1)


def angles(cells: Tensor) -> Tensor:
    """Return α, β, γ of the reduced cells, degrees, shape (B, 3): all below 90, or none, as Niggli's convention has it.

    Their gradients end where an angle leaves [1, 179] degrees.
    """
    units = torch.nn.functional.normalize(_reduced(cells), dim=2)
    cosines = torch.stack([(units[:, i] * units[:, j]).sum(1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=1)
    acute = (cosines.detach().prod(1, keepdim=True) > 1e-9).to(cosines)
    return ((2 * acute - 1) * cosines.abs()).clamp(-0.9998, 0.9998).acos().rad2deg()


def _reduced(cells: Tensor) -> Tensor:
    """Return the three shortest lattice vectors, ascending, shape (B, 3, 3)."""
    transforms = np.stack([shortest_basis(cell) for cell in cells.detach().double().cpu().numpy()])
    reduced = torch.as_tensor(transforms).to(cells) @ cells
    order = reduced.detach().norm(dim=2).argsort(dim=1)
    return reduced.gather(1, order.unsqueeze(-1).expand_as(reduced))
