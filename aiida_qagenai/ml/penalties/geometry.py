"""Differentiable losses of the geometric constraints of a user (:mod:`aiida_qagenai.exchange.geometry`).

Each loss is ≥ 0, has no unit and is a mean over the atoms that it concerns, so that it does not grow with the cell. It
grows with the square of the violation and vanishes a little inside the window, so that what satisfies it does so
safely. Periodic images are counted by radius. Beside its loss every constraint tells the value that a user understands
and whether it is satisfied, which count atoms by hard cutoffs.
"""

from __future__ import annotations

import functools
import itertools
import math
import typing as t
from collections.abc import Sequence

import torch
from torch import Tensor

from aiida_qagenai.chemistry.constraints.geometry import BOND_RATIO
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.exchange.geometry import ANGLES, LENGTHS, LINKED, POLYHEDRA, GeometricConstraint
from aiida_qagenai.ml.penalties.cells import RADII, CrystalBatch
from aiida_qagenai.ml.penalties.lattices import angles, lengths_and_ratios
from aiida_qagenai.ml.penalties.linking import SHARED, Links
from aiida_qagenai.ml.penalties.networks import FARTHEST, cut_loss, dimensionalities
from aiida_qagenai.ml.penalties.ranks import ranks
from aiida_qagenai.ml.penalties.surroundings import MARGIN, REACH, GeometryCrystals, Surroundings

__all__ = ('GeometryCrystals', 'Measured', 'measure', 'overlaps', 'reach_of')

INSIDE = 0.15
"""Share of the width of a window that its edges are drawn in for the loss."""

SOFTNESS = 0.04
"""Width of the step at which an atom counts as a neighbour in a mean, in units of the cutoff."""

TIGHTER = 0.7
"""The loss of a polyhedron vanishes at this share of its tolerance."""

APART = 0.85
"""Share of its contact length that the distance of any two atoms must not fall below while others are changed."""

ROUNDING = 1e-6
"""By which a value may miss its window."""

VERTICES = {'octahedral': 6, 'tetrahedral': 4}


class Measured(t.NamedTuple):
    """What a constraint says about a batch; where one of its elements is absent it is not satisfied.

    :param value: of the quantity, NaN where an element is absent, shape (B,).
    :param loss: ≥ 0, 0 where satisfied safely or an element is absent, differentiable, shape (B,).
    :param satisfied: shape (B,).
    """

    value: Tensor
    loss: Tensor
    satisfied: Tensor


def reach_of(constraints: Sequence[GeometricConstraint], numbers: Tensor, *, overlap: bool = False) -> float:
    """Return the largest distance that constraints need to know about, Å.

    :param numbers: atomic numbers of the batch.
    :param overlap: whether :func:`overlaps` is needed as well.
    """
    largest = 2 * BOND_RATIO * float(RADII[numbers.cpu().flatten()].max())
    reaches = [largest / BOND_RATIO * APART if overlap else 0.0]
    for each in constraints:
        if each.name == 'min_distance':
            reaches.append(each.minimum or 0.0)
        elif each.name == 'dimensionality':
            reaches.append(largest * FARTHEST)
        elif each.centre is not None:
            cutoff = each.cutoff or max(_bond(each.centre, other) for other in each.neighbours)
            reaches.append(max(REACH * cutoff, (each.maximum or 0.0) if each.name == 'bond_length' else 0.0))
    return max(reaches)


def overlaps(crystals: GeometryCrystals) -> Tensor:
    """Return a loss of atoms that are too close for any structure, shape (B,)."""
    pairs = crystals.pairs
    close = (1 - pairs.distance / (APART * crystals.batch.contact_lengths(pairs))).clamp(min=0).square()
    return close.new_zeros(len(crystals)).index_add(0, pairs.structure, close) / crystals.batch.mask.sum(1).clamp(min=1)


def measure(constraint: GeometricConstraint, crystals: GeometryCrystals) -> Measured:
    """Return value, loss and verdict of a constraint on a batch."""
    name = constraint.name
    if name == 'min_distance':
        return _min_distance(constraint, crystals)
    if name == 'dimensionality':
        lengths, wanted = crystals.bond_lengths, int(constraint.minimum or 0)
        value = dimensionalities(crystals.batch, crystals.pairs, lengths)
        loss = cut_loss(crystals.batch, crystals.pairs, lengths, wanted)
        return Measured(value, loss, value.eq(wanted))
    if constraint.centre is not None:
        return _around(constraint, crystals)
    value = _scalar(name, crystals.batch)
    return Measured(value.detach(), _window_loss(value, constraint), _inside(value, constraint))


def _scalar(name: str, batch: CrystalBatch) -> Tensor:
    """Return a quantity of the whole cell, shape (B,)."""
    if name in LENGTHS:
        return lengths_and_ratios(batch.cells)[:, LENGTHS.index(name)]
    if name in ANGLES:
        return angles(batch.cells)[:, ANGLES.index(name)]
    if name == 'density':
        return batch.densities
    return batch.volumes / batch.mask.sum(1).clamp(min=1)


def _window_loss(value: Tensor, constraint: GeometricConstraint) -> Tensor:
    """Return the square of how far a positive value lies outside its window, in logarithms."""
    low, high = constraint.minimum, constraint.maximum
    margin = INSIDE * (high - low) if low is not None and high is not None else 0.0
    loss = torch.zeros_like(value)
    if low:
        loss = loss + ((low + margin) / value.clamp(min=1e-6)).log().clamp(min=0).square()
    if high:
        loss = loss + (value.clamp(min=1e-6) / (high - margin)).log().clamp(min=0).square()
    return loss


def _inside(value: Tensor, constraint: GeometricConstraint) -> Tensor:
    low, high = constraint.minimum or 0.0, math.inf if constraint.maximum is None else constraint.maximum
    return (value >= low - ROUNDING) & (value <= high + ROUNDING)


def _min_distance(constraint: GeometricConstraint, crystals: GeometryCrystals) -> Measured:
    """The value is at most the wanted distance: farther pairs are not searched."""
    pairs, wanted = crystals.pairs, constraint.minimum or 0.0
    present = torch.ones(len(crystals), dtype=torch.bool, device=pairs.distance.device)
    if constraint.centre is not None:
        first, second = crystals.of((constraint.centre,)), crystals.of(constraint.neighbours)
        pairs = pairs.where(first[pairs.first] & second[pairs.second])
        present = first.view(len(crystals), -1).any(1) & second.view(len(crystals), -1).any(1)
    close = (1 - pairs.distance / (wanted * (1 + 0.01))).clamp(min=0).square()
    loss = close.new_zeros(len(crystals)).index_add(0, pairs.structure, close) / crystals.batch.mask.sum(1).clamp(min=1)
    value = close.new_full((len(crystals),), wanted)
    value = value.scatter_reduce(0, pairs.structure, pairs.distance.detach(), 'amin')
    return _where(present, value, loss, value >= wanted - ROUNDING)


def _where(present: Tensor, value: Tensor, loss: Tensor, satisfied: Tensor) -> Measured:
    """Return the verdict where all elements are present."""
    return Measured(value.masked_fill(~present, torch.nan), loss.masked_fill(~present, 0.0), satisfied & present)


def _around(constraint: GeometricConstraint, crystals: GeometryCrystals) -> Measured:
    """Return the verdict on the neighbours B of the atoms A."""
    around = Surroundings(constraint, crystals)
    low, high = constraint.minimum or 0.0, math.inf if constraint.maximum is None else constraint.maximum
    if constraint.name == 'coordination':
        value, loss, satisfied = _counted(constraint, around, around.numbers, around.ranked_loss(low, high))
    elif constraint.name in LINKED:
        links = Links(around, SHARED[constraint.name])
        value, loss, satisfied = _counted(constraint, around, links.numbers, links.loss(low, high))
    elif constraint.name == 'mean_coordination':
        value = around.mean(around.numbers)
        soft = around.mean(around.per_atom(((1 - around.relative) / SOFTNESS).sigmoid()))
        # an isolated atom has no neighbour that the mean could begin with
        loss = _window_loss(soft + 1e-3, constraint) + 0.1 * around.mean(around.ranked_loss(1, math.inf))
        satisfied = _inside(value, constraint)
    elif constraint.name in POLYHEDRA:
        value, loss, satisfied = _polyhedra(constraint, around)
    else:
        value, loss, satisfied = _bond_lengths(constraint, around)
    return _where(around.present, value.detach(), loss, satisfied)


def _counted(
    constraint: GeometricConstraint, around: Surroundings, numbers: Tensor, missed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The value is the mean number; the loss asks the ``share`` of the atoms that is nearest to what is wanted.

    :param numbers: of neighbours, or of linked polyhedra, of each atom, shape (B · N,).
    :param missed: the loss of each atom, shape (B · N,).
    """
    atoms = around.centres.nonzero().flatten()
    structure = atoms // (len(around.centres) // around.count)
    asked = (constraint.share * around.centres.view(around.count, -1).sum(1) - ROUNDING).ceil()
    chosen = torch.zeros_like(around.centres)
    chosen[atoms] = ranks(structure, missed.detach()[atoms]) < asked[structure]
    loss = missed.masked_fill(~chosen, 0.0).view(around.count, -1).sum(1) / asked.clamp(min=1)
    share = around.mean(_inside(numbers, constraint).to(missed))
    return around.mean(numbers), loss, share >= constraint.share - ROUNDING


def _bond_lengths(constraint: GeometricConstraint, around: Surroundings) -> tuple[Tensor, Tensor, Tensor]:
    """The value is the mean length of the bonds; the nearest neighbour is one wherever it is.

    A bond that is too long ends in the window or beyond the cutoff, whatever is nearer.
    """
    low, high = constraint.minimum or 0.0, math.inf if constraint.maximum is None else constraint.maximum
    distance, lengths = around.pairs.distance, around.lengths
    margin = INSIDE * (high - low) if math.isfinite(high) else 0.0
    bonds = around.bonded | (around.rank == 0) | (distance.detach() <= min(high, 1e3))
    short = (low + margin - distance).clamp(min=0)
    long = (distance - high + margin).clamp(min=0) if math.isfinite(high) else torch.zeros_like(distance)
    leaving = (lengths * (1 + MARGIN) - distance).clamp(min=0)
    long = torch.where((around.rank > 0) & (leaving.detach() < long.detach()), leaving, long)
    loss = around.mean(around.per_atom(((short + long) / lengths).square() * bonds))
    outside = bonds & ((distance < low - ROUNDING) | (distance > high + ROUNDING))
    number = around.per_atom(bonds.to(distance))
    wrong = torch.where(number > 0, around.per_atom(outside.to(distance)), torch.ones_like(number))
    total = around.mean(around.per_atom(distance.detach() * bonds))
    return total / around.mean(number).clamp(min=1e-9), loss, around.mean(wrong) == 0


def _polyhedra(constraint: GeometricConstraint, around: Surroundings) -> tuple[Tensor, Tensor, Tensor]:
    """The value is the root mean square deviation of the angles at the atoms A, degrees, of the worst of them.

    It is infinite where an atom does not have six, or four, neighbours.
    """
    size, limit = VERTICES[constraint.name], math.radians(constraint.maximum or 0.0)
    missed = around.ranked_loss(size, size)
    atoms = around.centres.nonzero().flatten()
    nearest = around.rank < size
    complete = around.per_atom(nearest.to(missed))[atoms] == size
    vectors = missed.new_zeros(len(around.centres), size, 3)
    units = around.pairs.vector / around.pairs.distance.unsqueeze(-1)
    vectors = vectors.index_put((around.pairs.first[nearest], around.rank[nearest]), units[nearest])[atoms[complete]]
    first, second = torch.triu_indices(size, size, 1, device=vectors.device)
    cosines = (vectors @ vectors.mT)[:, first, second]
    ideal = torch.full_like(cosines, -1 / 3)
    squares = 9 / 8 * (cosines - ideal).square()
    if size == 6:
        opposite = _opposites().to(cosines.device)
        opposite = opposite[(cosines.detach() @ opposite.to(cosines).T).argmin(1)]
        ideal = -opposite.to(cosines)
        # near 180 degrees the square of the angle that is missed
        squares = torch.where(opposite, 2 * (1 + cosines), cosines.square())
    squares = squares.mean(1)
    excess = (squares - (TIGHTER * limit) ** 2).clamp(min=0)
    missed = missed.index_add(0, atoms[complete], excess)
    deviations = (cosines.detach().clamp(-1, 1).acos() - ideal.acos()).square().mean(1).sqrt()
    worst = torch.full_like(missed, -math.inf)
    worst[atoms] = math.inf
    worst[atoms[complete]] = deviations.rad2deg()
    worst[atoms] = worst[atoms].masked_fill(around.numbers[atoms] != size, math.inf)
    value = worst.view(around.count, -1).amax(1)
    return value, around.mean(missed), value <= (constraint.maximum or 0.0) + ROUNDING


@functools.lru_cache(maxsize=1)
def _opposites() -> Tensor:
    """Return which pairs of six vertices face each other in each of the 15 ways to make three pairs, shape (15, 15)."""
    pairs = list(itertools.combinations(range(6), 2))
    ways = [way for way in itertools.combinations(pairs, 3) if len({vertex for pair in way for vertex in pair}) == 6]
    return torch.tensor([[pair in way for pair in pairs] for way in ways])


def _bond(first: str, second: str) -> float:
    """Return the length up to which two elements are bonded, Å."""
    return BOND_RATIO * float(RADII[ATOMIC_NUMBERS[first]] + RADII[ATOMIC_NUMBERS[second]])
