"""Differentiable twins of the constraints on structures, as penalties of padded batches.

Each twin has the name and thresholds of its constraint in :mod:`aiida_qagenai.chemistry.constraints` and returns the
same value. Its penalty is zero where the constraint is satisfied or does not apply, grows with the violation, and has
gradients by cells and coordinates. The linking of polyhedra and the space group are whole numbers without a twin.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import numpy as np
import torch

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS
from aiida_qagenai.chemistry.constraints import (
    AnionSaturation,
    BondValence,
    ChargeAlternation,
    Coordination,
    Density,
    ElectrostaticValence,
    MinimumDistance,
    VolumePerAtom,
)
from aiida_qagenai.chemistry.constraints.bond_valence import LARGEST_SCALING, SCALINGS
from aiida_qagenai.chemistry.constraints.geometry import SEARCH_RATIO, VALIDATION_ALPHA
from aiida_qagenai.chemistry.crystal import ANION_CONTACT, COORDINATION_SHARE, CUTOFF, TRIPLE_BOND
from aiida_qagenai.ml.penalties.cells import CrystalBatch, Pairs
from aiida_qagenai.ml.penalties.ionic import IonicTable

__all__ = (
    'PENALTIES',
    'AnionSaturationPenalty',
    'BondValencePenalty',
    'ChargeAlternationPenalty',
    'CoordinationPenalty',
    'DensityPenalty',
    'ElectrostaticValencePenalty',
    'MinimumDistancePenalty',
    'Penalty',
    'SoftCrystals',
    'SoftVerdict',
    'VolumePenalty',
    'total_penalty',
)

SOFT_SHARE = 0.01
"""Width of the step at which an anion begins to coordinate, in shares of the cation's valence."""


class SoftVerdict(t.NamedTuple):
    """What a twin says about a batch.

    :param value: as in :class:`aiida_qagenai.chemistry.constraints.Verdict`, NaN where it does not apply, shape (B,).
    :param penalty: ≥ 0, 0 where satisfied or not applicable, shape (B,).
    """

    value: torch.Tensor
    penalty: torch.Tensor


class SoftCrystals:
    """A batch with what several twins need of it, computed once: distances, charges, bonds.

    :param table: charges and bonds by composition; made from the atomic numbers where not given.
    """

    def __init__(self, batch: CrystalBatch, table: IonicTable | None = None) -> None:
        self.batch = batch
        self._table = table

    def __len__(self) -> int:
        return len(self.batch)

    @functools.cached_property
    def table(self) -> IonicTable:
        """Return the charges and bonds that the compositions decide."""
        return IonicTable.build(self.batch.numbers, self.batch.cells) if self._table is None else self._table

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Return all pairs up to the ``CUTOFF`` of the constraints."""
        return self.batch.pairs(CUTOFF)

    @functools.cached_property
    def radius_sums(self) -> torch.Tensor:
        """Return r_i + r_j of each pair, shape (E,), Å."""
        radii = self.batch.radii.flatten()
        return radii[self.pairs.first] + radii[self.pairs.second]

    @functools.cached_property
    def bonds(self) -> Bonds:
        """Return the pairs of cations and anions."""
        return Bonds(self)

    @functools.cached_property
    def anion_contacts(self) -> torch.Tensor:
        """Return which pairs are bonds between anions, shape (E,)."""
        negative = self.table.charges.flatten() < 0
        return (
            negative[self.pairs.first]
            & negative[self.pairs.second]
            & (self.pairs.distance < ANION_CONTACT * self.radius_sums)
        )

    @functools.cached_property
    def monatomic(self) -> torch.Tensor:
        """Return which structures have anions that are not bonded to each other, shape (B,)."""
        return ~self._any(self.anion_contacts)

    def _any(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return which structures have any of the ``chosen`` pairs, shape (B,)."""
        return torch.bincount(self.pairs.structure[chosen], minlength=len(self)) > 0

    def verdict(self, rule: torch.Tensor, value: torch.Tensor, penalty: torch.Tensor) -> SoftVerdict:
        """Return the verdict of a rule on ions where it applies: not where carbon or nitrogen has a triple bond."""
        light = torch.isin(self.batch.numbers.flatten(), torch.tensor([6, 7], device=rule.device))
        triple = light[self.pairs.first] & light[self.pairs.second] & (self.pairs.distance < TRIPLE_BOND)
        outside = ~rule | self._any(triple)
        return SoftVerdict(value.masked_fill(outside, torch.nan), penalty.masked_fill(outside, 0.0))

    def per_structure(self, values: torch.Tensor, structure: torch.Tensor) -> torch.Tensor:
        """Return the sums of ``values`` over the structures, shape (B,)."""
        return values.new_zeros(len(self)).index_add(0, structure, values)

    def per_atom(self, values: torch.Tensor, atom: torch.Tensor) -> torch.Tensor:
        """Return the sums of ``values`` over the atoms, shape (B · N,)."""
        return values.new_zeros(self.batch.numbers.numel()).index_add(0, atom, values)


class Bonds:
    """The pairs of a cation (first) and an anion (second) of a batch.

    ``structure``, ``cation``, ``anion``, ``distance``, ``unit`` (R0, Å) and ``uncertainty`` (of R0, Å) have shape (E,).
    """

    def __init__(self, crystals: SoftCrystals) -> None:
        pairs, table = crystals.pairs, crystals.table
        width = crystals.batch.numbers.shape[1]
        charges = table.charges.flatten()
        chosen = (charges[pairs.first] > 0) & (charges[pairs.second] < 0)
        self.structure = pairs.structure[chosen]
        self.cation, self.anion = pairs.first[chosen], pairs.second[chosen]
        self.distance = pairs.distance[chosen]
        place = (self.structure, self.cation % width, self.anion % width)
        self.unit, self.uncertainty = table.unit[place], table.uncertainty[place]
        self._places = charges.numel()

    @functools.cached_property
    def shares(self) -> torch.Tensor:
        """Return the share of each pair in the valence of its cation, shape (E,)."""
        exponents = (self.unit - self.distance) / BOND_SOFTNESS
        strongest = exponents.new_full((self._places,), -torch.inf)
        strongest = strongest.scatter_reduce(0, self.cation, exponents.detach(), 'amax')
        valences = (exponents - strongest[self.cation]).exp()
        totals = valences.new_zeros(self._places).index_add(0, self.cation, valences)
        return valences / totals[self.cation]


class Penalty(t.Protocol):
    """A differentiable twin of a constraint."""

    name: str
    """The name of the constraint."""

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        """Return values and penalties of a batch."""


@dataclasses.dataclass
class MinimumDistancePenalty:
    """Σ (1 − d / α l_ij)² over all pairs that are too close, self-images included, with the contact lengths l_ij.

    :param alpha: the threshold; 0.7 while generating and 0.8 at validation.
    """

    name = MinimumDistance.name
    alpha: float = VALIDATION_ALPHA

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        ratios = crystals.pairs.distance / crystals.batch.contact_lengths(crystals.pairs)
        value = ratios.new_full((len(crystals),), SEARCH_RATIO)
        value = value.scatter_reduce(0, crystals.pairs.structure, ratios, 'amin')
        overlaps = (1 - ratios / self.alpha).clamp(min=0).square()
        return SoftVerdict(value, crystals.per_structure(overlaps, crystals.pairs.structure))


@dataclasses.dataclass
class _Window:
    """Squares of the logarithm of how far a value lies outside its window."""

    minimum: float
    maximum: float

    def verdict(self, value: torch.Tensor) -> SoftVerdict:
        below = (self.minimum / value).clamp(min=1).log().square() if self.minimum > 0 else torch.zeros_like(value)
        return SoftVerdict(value, below + (value / self.maximum).clamp(min=1).log().square())


@dataclasses.dataclass
class VolumePenalty(_Window):
    """The volume of the cell over that of its covalent spheres."""

    name = VolumePerAtom.name
    minimum: float = VolumePerAtom().minimum
    maximum: float = VolumePerAtom().maximum

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        return self.verdict(crystals.batch.volumes / crystals.batch.sphere_volumes)


@dataclasses.dataclass
class DensityPenalty(_Window):
    """The mass density, g/cm³."""

    name = Density.name
    minimum: float = Density().minimum
    maximum: float = Density().maximum

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        return self.verdict(crystals.batch.densities)


class ChargeAlternationPenalty:
    """Σ (1 − d_like / d_opposite)² over the ions whose nearest neighbour has a charge of the same sign.

    The value counts all ions: where anions or metals are bonded to each other, the constraint itself asks fewer.
    """

    name = ChargeAlternation.name

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        pairs, charges = crystals.pairs, crystals.table.charges.flatten()
        product = charges[pairs.first] * charges[pairs.second]

        def nearest(chosen: torch.Tensor) -> torch.Tensor:
            far = pairs.distance.new_full((charges.numel(),), torch.inf)
            return far.scatter_reduce(0, pairs.first[chosen], pairs.distance[chosen], 'amin')

        protons = (charges > 0) & (crystals.batch.numbers.flatten() == 1)
        same = (product > 0) & ~protons[pairs.first] & ~protons[pairs.second]
        like, opposite = nearest(same), nearest(product < 0)
        broken = like < opposite
        ratio = torch.where(broken, like, torch.ones_like(like)) / torch.where(
            broken & opposite.isfinite(), opposite, torch.ones_like(opposite) * CUTOFF
        )
        excess = torch.where(broken, (1 - ratio).square(), torch.zeros_like(ratio))
        rows = charges.shape[0] // len(crystals)
        value = broken.view(-1, rows).sum(1) / (charges != 0).view(-1, rows).sum(1)
        return crystals.verdict(crystals.table.heteropolar, value.to(excess), excess.view(-1, rows).sum(1))


@dataclasses.dataclass
class AnionSaturationPenalty:
    """Σ ln²(1 + excess) over the anions with more valence from other anions than their shell lacks."""

    name = AnionSaturation.name
    threshold: float = AnionSaturation().threshold

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        pairs, table, contacts = crystals.pairs, crystals.table, crystals.anion_contacts
        lengths = crystals.radius_sums[contacts]
        valences = ((lengths - pairs.distance[contacts]) / BOND_SOFTNESS).exp()
        received = crystals.per_atom(valences, pairs.first[contacts])
        missing = torch.where(table.charges < 0, table.filled, torch.ones_like(table.filled)).flatten()
        ratios = (received / missing).view(len(crystals), -1)
        # valences grow without bound as atoms meet
        excess = (ratios - self.threshold).clamp(min=0).log1p().square().sum(1)
        return crystals.verdict(table.heteropolar, ratios.amax(1), excess)


@dataclasses.dataclass
class CoordinationPenalty:
    """Squared distances of the cations' soft coordination numbers from the range that is accepted.

    :param tolerance: accepted distance from the range that Shannon tabulates.
    :param width: of the step at which an anion begins to count, in shares of the cation's valence.
    """

    name = Coordination.name
    tolerance: int = Coordination().tolerance
    width: float = SOFT_SHARE

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        bonds, table = crystals.bonds, crystals.table
        cations = (table.charges > 0).flatten()
        low, high = table.coordination.flatten(0, 1).unbind(1)

        def misses(counts: torch.Tensor, tolerance: int) -> torch.Tensor:
            outside = torch.maximum(low - tolerance - counts, counts - high - tolerance).clamp(min=0)
            return (outside * cations).view(len(crystals), -1)

        hard = crystals.per_atom((bonds.shares >= COORDINATION_SHARE).to(bonds.shares), bonds.cation)
        soft = crystals.per_atom(((bonds.shares - COORDINATION_SHARE) / self.width).sigmoid(), bonds.cation)
        penalty = misses(soft, self.tolerance).square().sum(1)
        return crystals.verdict(table.heteropolar, misses(hard, 0).amax(1), penalty)


@dataclasses.dataclass
class ElectrostaticValencePenalty:
    """How far the mean square of the anions' excess charge is above the square of the threshold, e²."""

    name = ElectrostaticValence.name
    threshold: float = ElectrostaticValence().threshold

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        """Return the root mean square excess around the anions, e, and the penalty."""
        bonds, table = crystals.bonds, crystals.table
        charges = table.charges.flatten()
        received = crystals.per_atom(charges[bonds.cation] * bonds.shares, bonds.anion)
        anions = (charges < 0).view(len(crystals), -1)
        squares = (received + charges).square().view(len(crystals), -1)
        mean = (squares * anions).sum(1) / anions.sum(1).clamp(min=1)
        excess = (mean - self.threshold**2).clamp(min=0)
        value = mean.clamp(min=1e-24).sqrt().masked_fill(~crystals.monatomic, torch.nan)
        return crystals.verdict(table.pauling, value, excess)


@dataclasses.dataclass
class BondValencePenalty:
    """ln(1 + how far the square of the global instability index is above that of the threshold)."""

    name = BondValence.name
    threshold: float = BondValence().threshold

    def __call__(self, crystals: SoftCrystals) -> SoftVerdict:
        """Return the global instability index, valence units, and the penalty."""
        scalings = np.linspace(1 - LARGEST_SCALING, 1 + LARGEST_SCALING, SCALINGS).tolist()
        squares = torch.stack([self._index(crystals, scaling) for scaling in scalings]).amin(0)
        excess = (squares - self.threshold**2).clamp(min=0).log1p()
        value = squares.clamp(min=1e-24).sqrt().masked_fill(~crystals.monatomic, torch.nan)
        return crystals.verdict(crystals.table.bond_valence, value, excess)

    @staticmethod
    def _index(crystals: SoftCrystals, scaling: float) -> torch.Tensor:
        """Return the mean square deviation of the sums for bond lengths times ``scaling``, shape (B,)."""
        bonds, table = crystals.bonds, crystals.table
        charges, kinds = table.charges.flatten(), table.kinds.flatten()
        cations = charges > 0  # far too short bonds must not overflow; they fail by any measure
        valences = ((bonds.unit - scaling * bonds.distance) / BOND_SOFTNESS).clamp(max=8.0).exp()
        sums = crystals.per_atom(valences, bonds.cation)
        limits = torch.zeros_like(sums).scatter_reduce(0, bonds.cation, bonds.uncertainty, 'amax')
        # one correction of R0 for all cations of an element in a structure
        number = sums.new_zeros(table.num_kinds).index_add(0, kinds, cations.to(sums))
        mean = sums.new_zeros(table.num_kinds).index_add(0, kinds, sums * cations) / number.clamp(min=1)
        wanted = BOND_SOFTNESS * (charges.clamp(min=1e-9) / mean[kinds].clamp(min=1e-12)).log()
        factors = torch.minimum(torch.maximum(wanted, -limits), limits).div(BOND_SOFTNESS).exp()
        corrected = valences * factors[bonds.cation]
        deviations = torch.where(cations, -charges, -table.filled.flatten())
        deviations = deviations.index_add(0, bonds.cation, corrected).index_add(0, bonds.anion, corrected)
        fewer, more = table.averaged.flatten(0, 1).unbind(1)
        deviations = (deviations - more).clamp(min=0) + (deviations + fewer).clamp(max=0)
        present = crystals.batch.mask
        return (deviations.square() * present.flatten()).view(len(crystals), -1).sum(1) / present.sum(1)


_TWINS: tuple[type[Penalty], ...] = (
    MinimumDistancePenalty,
    VolumePenalty,
    DensityPenalty,
    ChargeAlternationPenalty,
    AnionSaturationPenalty,
    CoordinationPenalty,
    ElectrostaticValencePenalty,
    BondValencePenalty,
)
PENALTIES: dict[str, t.Callable[..., Penalty]] = {twin.name: twin for twin in _TWINS}
"""Name of the constraint → its twin, which takes the thresholds that differ from the default ones."""


def total_penalty(crystals: SoftCrystals, penalties: t.Iterable[Penalty]) -> torch.Tensor:
    """Return the sum of ``penalties``, shape (B,)."""
    return torch.stack([penalty(crystals).penalty for penalty in penalties]).sum(0)
