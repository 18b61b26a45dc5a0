"""Projected descent: atoms and cells move until the penalties vanish, or as far as they get."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import torch
from torch import Tensor

from aiida_qagenai.ml.penalties.cells import CrystalBatch
from aiida_qagenai.ml.penalties.ionic import IonicTable
from aiida_qagenai.ml.penalties.terms import Penalty, SoftCrystals, total_penalty

__all__ = ('Descent', 'descend')

MAX_DISPLACEMENT = 0.1
"""Longest move of an atom in one step, Å."""

MAX_STRAIN = 0.02
"""Largest component of the strain in one step."""

STRAIN_LENGTH = 3.0
"""Length that makes a strain comparable to a displacement, Å: a bond changes by this times the strain."""


OVERSHOOT = 2.2
"""In units of the step that would end where a linear penalty vanishes. These grow with the square of the violation, for
which two such steps are right, and a little more ends beyond the threshold instead of ever closer to it."""


class Descent(t.NamedTuple):
    """The end of a descent.

    :param batch: where the crystals ended: of all places visited, the one with the smallest penalty.
    :param before: penalties at the start, shape (B,).
    :param after: penalties at the end, shape (B,).
    """

    batch: CrystalBatch
    before: Tensor
    after: Tensor


def descend(
    batch: CrystalBatch, penalties: Sequence[Penalty], *, steps: int, table: IonicTable | None = None
) -> Descent:
    """Return the crystals after at most ``steps`` steps of every structure by itself against its own penalty.

    The steps are those of Polyak for a minimum of known value, in proportion to ``penalty / |gradient|²``. Atoms move
    and the cell is strained; species and orientation stay.

    :param table: charges and bonds of the compositions, if they are known.
    """
    table = table or IonicTable.build(batch.numbers, batch.cells)
    best, before = batch, None
    lowest = torch.full((len(batch),), torch.inf, dtype=batch.cells.dtype, device=batch.cells.device)
    for step in range(steps + 1):
        penalty, forces, stress = _gradients(batch, penalties, table)
        before = penalty if before is None else before
        improved = penalty < lowest
        lowest = torch.where(improved, penalty, lowest)
        best = CrystalBatch(
            torch.where(improved[:, None, None], batch.cells, best.cells),
            torch.where(improved[:, None, None], batch.fractional, best.fractional),
            batch.numbers,
        )
        if step == steps or not (lowest > 0).any():
            break
        batch = _moved(batch, penalty, forces, stress)
    assert before is not None
    return Descent(best, before, lowest)


def _gradients(batch: CrystalBatch, penalties: Sequence[Penalty], table: IonicTable) -> tuple[Tensor, Tensor, Tensor]:
    """Return the penalties, shape (B,), and minus their gradients: by the positions, Å⁻¹, and by the strain, Å⁻¹."""
    with torch.enable_grad():
        moves = torch.zeros_like(batch.fractional, requires_grad=True)
        strain = torch.zeros_like(batch.cells, requires_grad=True)
        symmetric = 0.5 * (strain + strain.transpose(1, 2)) / STRAIN_LENGTH
        cells = batch.cells + batch.cells @ symmetric
        fractional = batch.fractional + moves @ torch.linalg.inv(batch.cells)
        penalty = total_penalty(SoftCrystals(CrystalBatch(cells, fractional, batch.numbers), table), penalties)
        gradients = torch.autograd.grad(penalty.sum(), (moves, strain), allow_unused=True)
    forces, stress = (
        torch.zeros_like(variable) if gradient is None else -gradient.nan_to_num(0.0, 0.0, 0.0)
        for variable, gradient in zip((moves, strain), gradients, strict=True)
    )
    return penalty.detach().nan_to_num(torch.inf), forces * batch.mask.unsqueeze(-1), stress


def _moved(batch: CrystalBatch, penalty: Tensor, forces: Tensor, stress: Tensor) -> CrystalBatch:
    squares = forces.square().sum((1, 2)) + stress.square().sum((1, 2))
    length = torch.where(squares > 0, OVERSHOOT * penalty / squares.clamp(min=1e-30), torch.zeros_like(penalty))
    farthest = forces.norm(dim=2).amax(1).clamp(min=1e-30)
    widest = (stress.abs().amax((1, 2)) / STRAIN_LENGTH).clamp(min=1e-30)
    length = torch.minimum(length, torch.minimum(MAX_DISPLACEMENT / farthest, MAX_STRAIN / widest))
    scale = length.nan_to_num(0.0)[:, None, None]
    strain = scale * stress / STRAIN_LENGTH
    fractional = batch.fractional + scale * forces @ torch.linalg.inv(batch.cells)
    return CrystalBatch(batch.cells + batch.cells @ strain, fractional, batch.numbers)
