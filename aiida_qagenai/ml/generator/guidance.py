"""Constraints that act while structures are sampled (paper section 3.2: soft while generating, hard afterwards).

Charge neutrality decides the elements that are open in the last part of the trajectory. At its end, the finished
structure descends its penalties as far as it gets. The network is not differentiated, and needs no training for this.
"""

from __future__ import annotations

import typing as t

import torch
from torch import Tensor

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.constraints import ConstraintOptions
from aiida_qagenai.ml.elements import element_symbols
from aiida_qagenai.ml.penalties import PENALTIES, CrystalBatch, Penalty, descend, neutral_types

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
        self.penalties = [
            _penalty(name, options.thresholds.get(name, {})) for name in options.names if name in PENALTIES
        ]
        # position K is an atom whose element is still open
        self.numbers = torch.tensor([*elements, 0])

    def settle(self, types: Tensor, probabilities: Tensor, task: Task, now: Tensor, then: Tensor) -> Tensor:
        """Return the types, all decided and neutral at the step that passes ``begin`` if neutrality is asked for.

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

    def finish(self, cells: Tensor, fractional: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the finished structures after the descent; structures that are not finite are not changed."""
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


def _penalty(name: str, thresholds: dict[str, float]) -> Penalty:
    """Return the penalty of a constraint.

    :raises InvalidInputError: if it has no such threshold.
    """
    twin = PENALTIES[name]
    known = list(getattr(twin, '__dataclass_fields__', ()))
    unknown = sorted(set(thresholds) - set(known))
    if unknown:
        choice = f'it has {", ".join(known)}' if known else 'it has none'
        raise InvalidInputError(f'the constraint `{name}` has no threshold {", ".join(unknown)}: {choice}')
    return twin(**thresholds)
