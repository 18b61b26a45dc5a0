"""Batches of crystals whose pairs several geometric constraints share, and the neighbours B of the atoms A in them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aiida_qagenai.chemistry.constraints.geometry import BOND_RATIO
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.ml.penalties.cells import CrystalBatch, Pairs
from aiida_qagenai.ml.penalties.ranks import ranks

__all__ = ('MARGIN', 'REACH', 'GeometryCrystals', 'Surroundings')

REACH = 1.6
"""Neighbours are searched up to this times the cutoff: those beyond have nothing to say on a coordination number."""

MARGIN = 0.04
"""Share of the cutoff that a neighbour has to be inside, and what is no neighbour outside, for the loss to vanish."""

SPREAD = 1.2
"""Distances of one shell of neighbours over the shortest of them."""

GAP = 1.1
"""Distance of the nearest atom that is no neighbour over the longest of one; the second shell of bcc is at 1.155."""


class GeometryCrystals:
    """A batch with the pairs that several constraints need of it, searched once.

    :param reach: largest distance of a pair that any of them needs, Å, see :func:`reach_of`.
    """

    def __init__(self, batch: CrystalBatch, reach: float) -> None:
        self.batch = batch
        self._reach = reach

    def __len__(self) -> int:
        return len(self.batch)

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Return all pairs up to the reach."""
        return self.batch.pairs(self._reach)

    @functools.cached_property
    def bond_lengths(self) -> Tensor:
        """Return up to where each pair is bonded, shape (E,), Å."""
        radii = self.batch.radii.flatten()
        return BOND_RATIO * (radii[self.pairs.first] + radii[self.pairs.second])

    def of(self, symbols: Sequence[str]) -> Tensor:
        """Return which of the B · N places hold one of some elements."""
        numbers = torch.tensor([ATOMIC_NUMBERS[symbol] for symbol in symbols], device=self.batch.numbers.device)
        return torch.isin(self.batch.numbers.flatten(), numbers)


class Surroundings:
    """The neighbours B of the atoms A of a batch, ranked by distance."""

    def __init__(self, constraint: GeometricConstraint, crystals: GeometryCrystals) -> None:
        self.count = len(crystals)
        self.centres, second = crystals.of((constraint.centre or '',)), crystals.of(constraint.neighbours)
        chosen = self.centres[crystals.pairs.first] & second[crystals.pairs.second]
        self.pairs = crystals.pairs.where(chosen)
        self.lengths = crystals.bond_lengths[chosen]
        if constraint.cutoff is not None:
            self.lengths = torch.full_like(self.lengths, constraint.cutoff)
        self.relative = self.pairs.distance / self.lengths
        self.rank = ranks(self.pairs.first, self.relative.detach())
        self.bonded = self.relative.detach() <= 1
        self.present = self.centres.view(self.count, -1).any(1) & second.view(self.count, -1).any(1)

    def per_atom(self, values: Tensor) -> Tensor:
        """Return the sums of ``values`` of the pairs over the atoms A, shape (B · N,)."""
        return values.new_zeros(len(self.centres)).index_add(0, self.pairs.first, values)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of ``values`` of the places, shape (B · N,), over the atoms A of each structure."""
        kept = values.masked_fill(~self.centres, 0.0).view(self.count, -1)
        return kept.sum(1) / self.centres.view(self.count, -1).sum(1).clamp(min=1)

    @functools.cached_property
    def numbers(self) -> Tensor:
        """Return the coordination numbers, shape (B · N,)."""
        return self.per_atom(self.bonded.to(self.relative))

    def ranked_loss(self, low: float, high: float) -> Tensor:
        """Return for each atom how far its nearest ``low`` neighbours are outside and those past ``high`` inside.

        The former are also to be about as far as the nearest and, where one number is wanted, apart from the latter: a
        shell, and not what a cutoff happens to count.
        """
        within, beyond = self.rank < low, self.rank >= high
        near = (self.relative - (1 - MARGIN)).clamp(min=0) * within
        far = (1 + MARGIN - self.relative).clamp(min=0) * beyond
        spread = (self.relative - SPREAD * self._at(0)[self.pairs.first]).clamp(min=0) * within
        squares = near.square() + far.square() + spread.square()
        if low == high and low > 0:
            outermost = self._at(int(low) - 1)[self.pairs.first]
            squares = squares + ((GAP * outermost - self.relative).clamp(min=0) * beyond).square()
        found = self.per_atom(within.to(self.relative))
        missing = (low - found).clamp(min=0) * (REACH - 1) ** 2 if math.isfinite(low) else 0.0
        return self.per_atom(squares) + missing

    def _at(self, rank: int) -> Tensor:
        """Return the relative distance of the neighbour of some rank, 0 where there is none, shape (B · N,)."""
        return self.per_atom(self.relative * (self.rank == rank))
