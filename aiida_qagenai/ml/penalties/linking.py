"""Polyhedra that share ligands: with how many neighbours each has a corner, an edge or a face in common.

Two atoms A, periodic images of one among them, share a corner if one atom B is a neighbour of both, an edge if two are,
and a face if three or more are.
"""

from __future__ import annotations

import math
import typing as t

import torch
from torch import Tensor

from aiida_qagenai.ml.penalties.ranks import ranks
from aiida_qagenai.ml.penalties.surroundings import MARGIN, REACH, Surroundings

__all__ = ('SHARED', 'Links')

SHARED = {'corner_sharing': 1, 'edge_sharing': 2, 'face_sharing': 3}
"""Ligands that two polyhedra have in common, three or more where they share a face."""

FACE = SHARED['face_sharing']
MISSING = (REACH - 1) ** 2
"""Loss of a ligand, or a link, that is nowhere within reach."""

SPAN = 64
"""More than the lattice translations between two atoms within reach, along each vector."""


class _Bridges(t.NamedTuple):
    """All ways from an atom A over one atom B to another atom A.

    :param link: which two atoms A they join, shape (T,).
    :param centre: the first of these atoms for each of the P links, shape (P,).
    :param longer: distance of the ligand from the farther of both, in units of the cutoff, shape (T,).
    :param near: how far both are from being bonded to it safely, shape (T,).
    """

    link: Tensor
    centre: Tensor
    longer: Tensor
    near: Tensor


class Links:
    """The links of one kind between the polyhedra of a batch.

    :param around: the ligands of each atom A.
    :param shared: how many of them linked polyhedra have in common, of :data:`SHARED`.
    """

    def __init__(self, around: Surroundings, shared: int) -> None:
        self._around, self._shared = around, shared
        self._bridges = bridges = _bridges(around)
        self._rank = ranks(bridges.link, bridges.longer.detach())
        common = self._sum((bridges.longer.detach() <= 1).to(bridges.longer))
        linked = common >= shared if shared == FACE else common == shared
        self.numbers = self._per_atom(linked.to(common))
        """Return with how many polyhedra each atom A is linked, shape (B · N,)."""

    def loss(self, low: float, high: float) -> Tensor:
        """Return for each atom what it takes to have ``low`` to ``high`` links, shape (B · N,).

        The pairs of polyhedra that are most easily linked are to be so, the others not: those past ``high`` are to
        share fewer ligands, or more, whichever takes less.
        """
        made, undone = self._made(), self._undone()
        rank = ranks(self._bridges.centre, (made - undone).detach())
        total = self._per_atom(made * (rank < low) + undone * (rank >= high))
        if not math.isfinite(low):
            return total
        return total + MISSING * (low - self._per_atom(torch.ones_like(made))).clamp(min=0)

    def _made(self) -> Tensor:
        """Return what each pair of polyhedra lacks to share as many ligands as they should, shape (P,)."""
        joined = self._joined(self._shared)
        return joined if self._shared == FACE else joined + self._parted(self._shared)

    def _undone(self) -> Tensor:
        """Return what each pair of polyhedra lacks to share fewer ligands, or more, shape (P,)."""
        fewer = self._parted(self._shared - 1)
        return fewer if self._shared == FACE else torch.minimum(fewer, self._joined(self._shared + 1))

    def _joined(self, count: int) -> Tensor:
        """Return how far the nearest ``count`` ligands are from belonging to both polyhedra, shape (P,)."""
        within = self._rank < count
        found = self._sum(within.to(self._bridges.near))
        return self._sum(self._bridges.near * within) + MISSING * (count - found)

    def _parted(self, count: int) -> Tensor:
        """Return how far the ligands past ``count`` are from not belonging to both polyhedra, shape (P,)."""
        return self._sum((1 + MARGIN - self._bridges.longer).clamp(min=0).square() * (self._rank >= count))

    def _sum(self, values: Tensor) -> Tensor:
        """Return the sums of ``values`` of the bridges over the links, shape (P,)."""
        return values.new_zeros(len(self._bridges.centre)).index_add(0, self._bridges.link, values)

    def _per_atom(self, values: Tensor) -> Tensor:
        """Return the sums of ``values`` of the links over the atoms A, shape (B · N,)."""
        return values.new_zeros(len(self._around.centres)).index_add(0, self._bridges.centre, values)


def _bridges(around: Surroundings) -> _Bridges:
    """Return all bridges whose two bonds are within reach."""
    reached = around.relative.detach() <= REACH
    pairs, relative = around.pairs.where(reached), around.relative[reached]
    one, other = _met(pairs.second)
    shift = (pairs.shift[one] - pairs.shift[other]).long()
    # the same atom without a translation is no neighbour
    apart = (pairs.first[one] != pairs.first[other]) | shift.ne(0).any(1)
    one, other, shift = one[apart], other[apart], shift[apart]
    key = pairs.first[one] * len(around.centres) + pairs.first[other]
    for axis in range(3):
        key = key * SPAN + shift[:, axis] + SPAN // 2
    keys, link = key.unique(return_inverse=True)
    near = (relative - (1 - MARGIN)).clamp(min=0).square()
    return _Bridges(
        link=link,
        centre=keys // (SPAN**3 * len(around.centres)),
        longer=torch.maximum(relative[one], relative[other]),
        near=near[one] + near[other],
    )


def _met(ligands: Tensor) -> tuple[Tensor, Tensor]:
    """Return all ordered pairs of bonds with the same ligand, by their positions, those with themselves included."""
    order = ligands.argsort(stable=True)
    counts = torch.bincount(ligands)
    partners = counts[ligands]
    one = torch.arange(len(ligands), device=ligands.device).repeat_interleave(partners)
    place = torch.arange(len(one), device=ligands.device) - (partners.cumsum(0) - partners)[one]
    starts = counts.cumsum(0) - counts
    return one, order[starts[ligands[one]] + place]
