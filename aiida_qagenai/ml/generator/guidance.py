"""Constraints that act while structures are sampled (paper section 3.2: soft while generating, hard afterwards).

In the last part of the trajectory the clean structure that the denoiser predicts is taken a few steps down its
penalties, and the noisy one moves along, the more the less noise is left. At the end a longer descent takes the
finished structure as far as it gets. The network is not differentiated, and needs no training for this.
"""

from __future__ import annotations

import typing as t

import torch
from torch import Tensor

from aiida_qagenai.exchange.tasks import ConstraintOptions
from aiida_qagenai.ml.elements import element_symbols
from aiida_qagenai.ml.generator.diffusion import MAX_LATTICE_COORDINATE, coordinate_width, lattice_signal, score_scale
from aiida_qagenai.ml.generator.lattice import cell_from_metric, log_coordinates
from aiida_qagenai.ml.generator.network import Denoiser, Noisy, Prediction
from aiida_qagenai.ml.penalties import PENALTIES, CrystalBatch, IonicTable, descend, neutral_types

if t.TYPE_CHECKING:
    from aiida_qagenai.ml.generator.sampler import Task

__all__ = ('Guide',)

NEUTRALITY = 'charge_neutrality'

RELEASED = -4.0
"""Log-probability of replacing the present element of an atom."""

SMALLEST = 1e-12
"""Smallest probability of an element that is allowed."""

MOST_ELEMENTS = 4
"""Elements among which neutral compositions are looked for: the likeliest."""


class Guide:
    """What pulls samples towards the constraints of ``options``.

    :param elements: atomic numbers of the generator, K of them.
    """

    def __init__(self, options: ConstraintOptions, elements: tuple[int, ...]) -> None:
        self.options = options
        self.symbols = element_symbols(elements)
        self.penalties = [PENALTIES[name]() for name in options.names if name != NEUTRALITY]
        # position K is an atom whose element is still open
        self.numbers = torch.tensor([*elements, 0])
        self._known: tuple[Tensor, IonicTable] | None = None

    def settle(self, types: Tensor, probabilities: Tensor, task: Task, now: Tensor, then: Tensor) -> Tensor:
        """Return the types, all decided and neutral where the guidance begins and neutrality is asked for.

        :param types: element positions, K where open, shape (B, N).
        :param probabilities: of the elements for open atoms, shape (B, N, K).
        :param task: what is sampled.
        """
        if NEUTRALITY not in self.options.names or not then < self.options.begin <= now:
            return types
        types, released = types.clone(), types.cpu()
        # a confident network rounds the others to zero
        logarithms = probabilities.double().cpu().clamp(min=SMALLEST).log()
        for row in (task.types.eq(len(self.symbols)) & task.mask).any(1).nonzero().flatten().tolist():
            atoms = task.mask[row].cpu().nonzero().flatten()
            given = released[row, atoms]
            decided = given < len(self.symbols)
            scores = logarithms[row, atoms].clone()
            scores[decided] = RELEASED
            scores[decided, given[decided]] = 0.0
            allowed = task.allowed[row].cpu().nonzero().flatten()
            likely = allowed[scores[:, allowed].exp().sum(0).topk(min(MOST_ELEMENTS, len(allowed))).indices]
            found = neutral_types(scores[:, likely].numpy(), tuple(self.symbols[k] for k in likely.tolist()))
            if found is not None:
                types[row, atoms.to(types.device)] = likely[torch.as_tensor(found)].to(types.device)
        return types

    def nudge(
        self,
        model: Denoiser,
        noisy: Noisy,
        predicted: Prediction,
        *,
        moving: tuple[Tensor, Tensor],
        types: Tensor,
        then: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return z and x after the move of the predicted clean structure down its penalties was added to them.

        :param noisy: what the network saw.
        :param predicted: the prediction of the network.
        :param moving: z, shape (B, 6), and x, shape (B, N, 3), after the step.
        :param types: after the step.
        :param then: time after the step.
        """
        z, x = moving
        if not self.penalties or not then < self.options.begin:
            return z, x
        now, num_atoms = noisy.time[0], noisy.mask.sum(1)
        alpha = lattice_signal(now)
        clean = (alpha * noisy.z - (1 - alpha**2).sqrt() * predicted.v).clamp(
            -MAX_LATTICE_COORDINATE, MAX_LATTICE_COORDINATE
        )
        positions = noisy.x + coordinate_width(now) ** 2 * score_scale(now) * predicted.score
        cells = cell_from_metric(model.lattice.decode(clean, num_atoms))
        numbers = self._numbers(types, noisy.mask)
        batch = CrystalBatch(cells, positions, numbers)
        decided = ((numbers > 0) == noisy.mask).all(1, keepdim=True)
        table = self._table(numbers * decided, cells)
        moved = descend(batch, self.penalties, steps=self.options.steps, table=table).batch
        strained = model.lattice.encode(log_coordinates(moved.cells @ moved.cells.transpose(1, 2)), num_atoms)
        weight = 1 - then.to(z)
        # a structure that does not move must not feel the rounding of the way there and back
        still = (moved.cells == batch.cells).all((1, 2)).unsqueeze(-1)
        shift = torch.where(still, torch.zeros_like(clean), strained - clean).nan_to_num(0.0)
        return z + weight * lattice_signal(then).to(z) * shift, x + weight * (moved.fractional - positions)

    def finish(self, cells: Tensor, fractional: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the finished structures after the longer descent; structures that are not finite are not changed."""
        if not self.penalties or not self.options.final_steps:
            return cells, fractional
        finite = cells.isfinite().all((1, 2)) & (torch.linalg.det(cells.nan_to_num(0.0)).abs() > 1e-3)
        usable = torch.where(finite[:, None, None], cells, torch.eye(3).to(cells))
        numbers = self._numbers(types, mask & finite.unsqueeze(-1))
        batch = CrystalBatch(usable, fractional, numbers)
        moved = descend(batch, self.penalties, steps=self.options.final_steps).batch
        return torch.where(finite[:, None, None], moved.cells, cells), moved.fractional

    def _numbers(self, types: Tensor, mask: Tensor) -> Tensor:
        return self.numbers.to(types.device)[types] * mask

    def _table(self, numbers: Tensor, like: Tensor) -> IonicTable:
        """Return the charges of the compositions that are decided, computed again where types changed."""
        if self._known is None or not torch.equal(self._known[0], numbers):
            self._known = (numbers, IonicTable.build(numbers, like))
        return self._known[1]
