"""How far the network of bonds extends, and what it takes to make layers, chains or molecules of it."""

from __future__ import annotations

import torch
from torch import Tensor

from aiida_qagenai.chemistry.geometry import Neighbors, fragments
from aiida_qagenai.ml.penalties.cells import CrystalBatch, Pairs

__all__ = ('FARTHEST', 'cut_loss', 'dimensionalities')

MARGIN = 0.04
"""Share of the length of a bond that atoms have to be inside, or outside, for the loss to vanish."""

FARTHEST = 1.6
"""Distance up to which atoms are searched that could be bonded, in lengths of a bond."""


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
    """Return what it takes until the bonds extend in ``dimension`` directions, shape (B,).

    A structure is cut along one family of lattice planes, those of its cell, for layers, two for chains and all three
    for molecules: those with the widest gap, which no bond may cross. A bond has to cross the widest gap along each of
    the others. Where they are is decided without gradients.

    :param lengths: up to where each pair is bonded, shape (E,), Å.
    """
    with torch.no_grad():
        middle, gaps = _widest_gaps(batch)
        axes = gaps.argsort(dim=1, descending=True)
        flat = batch.fractional.flatten(0, 1)
        origin = middle[pairs.structure]
        planes = (flat[pairs.first] - origin).floor() - (flat[pairs.second] + pairs.shift - origin).floor()
        crossing = planes.gather(1, axes[pairs.structure]) != 0
        cut = crossing[:, : 3 - dimension].any(1)
    relative = pairs.distance / lengths
    short = (1 + MARGIN - relative).clamp(min=0).square() * cut
    loss = short.new_zeros(len(batch)).index_add(0, pairs.structure, short) / batch.mask.sum(1).clamp(min=1)
    for axis in range(3 - dimension, 3):
        bridging = crossing[:, axis] & ~cut
        nearest = relative.new_full((len(batch),), FARTHEST)
        nearest = nearest.scatter_reduce(0, pairs.structure[bridging], relative[bridging], 'amin')
        loss = loss + (nearest - 1 + MARGIN).clamp(min=0).square()
    return loss


def _widest_gaps(batch: CrystalBatch) -> tuple[Tensor, Tensor]:
    """Return the middle of the widest gap between the atoms along each axis, fractional, and its width, (B, 3) each.

    The width is in Å.
    """
    inside = batch.fractional - batch.fractional.floor()
    order = inside.masked_fill(~batch.mask.unsqueeze(-1), torch.inf).sort(dim=1).values
    last = batch.mask.sum(1, keepdim=True).unsqueeze(-1) - 1
    place = torch.arange(order.shape[1], device=order.device).view(1, -1, 1)
    gaps = torch.where(place == last, order[:, :1] + 1 - order, order.roll(-1, 1) - order)
    widest = gaps.masked_fill(place > last, -torch.inf).max(dim=1, keepdim=True)
    middle = order.gather(1, widest.indices) + 0.5 * widest.values
    heights = 1 / torch.linalg.inv(batch.cells).norm(dim=1)
    return middle.squeeze(1), widest.values.squeeze(1) * heights
