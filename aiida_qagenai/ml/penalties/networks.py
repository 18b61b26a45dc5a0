"""How far the network of bonds extends, and what it costs to cut it into layers, chains or molecules."""

from __future__ import annotations

import torch
from torch import Tensor

from aiida_qagenai.chemistry.geometry import Neighbors, fragments
from aiida_qagenai.ml.penalties.cells import CrystalBatch, Pairs

__all__ = ('cut_loss', 'dimensionalities')


def dimensionalities(batch: CrystalBatch, pairs: Pairs, lengths: Tensor) -> Tensor:
    """Return in how many directions the most extended network of each structure repeats, shape (B,).

    :param lengths: up to where each pair is bonded, shape (E,), Å.
    """
    width = batch.numbers.shape[1]
    bonds = pairs.where(pairs.distance.detach() < lengths)
    structure = bonds.structure.cpu().numpy()
    columns = [part.cpu().numpy() for part in (bonds.first % width, bonds.second % width)]
    shift, distance = bonds.shift.long().cpu().numpy(), bonds.distance.detach().cpu().numpy()
    found = []
    for row, atoms in enumerate(batch.mask.sum(1).tolist()):
        mine = structure == row
        neighbours = Neighbors(columns[0][mine], columns[1][mine], shift[mine], distance[mine])
        found.append(max((each.dimension for each in fragments(range(atoms), neighbours)), default=0))
    return torch.tensor(found).to(batch.cells)


def cut_loss(batch: CrystalBatch, pairs: Pairs, lengths: Tensor, dimension: int) -> Tensor:
    """Return how much the bonds that cross the widest gaps between lattice planes are too short, shape (B,).

    A structure is cut along one family of lattice planes, those of its cell, for layers, two for chains and all three
    for molecules: those with the widest gap. Where they are is decided without gradients.

    :param lengths: from where on two atoms are not bonded, shape (E,), Å.
    """
    with torch.no_grad():
        inside = batch.fractional - batch.fractional.floor()
        order = inside.masked_fill(~batch.mask.unsqueeze(-1), torch.inf).sort(dim=1).values
        following = order.roll(-1, 1)
        last = batch.mask.sum(1, keepdim=True).unsqueeze(-1) - 1
        place = torch.arange(order.shape[1], device=order.device).view(1, -1, 1)
        gaps = torch.where(place == last, order[:, :1] + 1 - order, following - order)
        gaps = torch.where(place <= last, gaps, torch.full_like(gaps, -torch.inf))
        widest = gaps.max(dim=1, keepdim=True)
        middle = (order.gather(1, widest.indices) + 0.5 * widest.values).squeeze(1)
        heights = 1 / torch.linalg.inv(batch.cells).norm(dim=1)
        axes = (widest.values.squeeze(1) * heights).argsort(dim=1, descending=True)[:, : 3 - dimension]
        flat = batch.fractional.flatten(0, 1)
        origin = middle[pairs.structure]
        planes = (flat[pairs.first] - origin).floor() - (flat[pairs.second] + pairs.shift - origin).floor()
        crossing = (planes.gather(1, axes[pairs.structure]) != 0).any(1)
    short = (1 - pairs.distance / lengths).clamp(min=0).square() * crossing
    return short.new_zeros(len(batch)).index_add(0, pairs.structure, short) / batch.mask.sum(1).clamp(min=1)
