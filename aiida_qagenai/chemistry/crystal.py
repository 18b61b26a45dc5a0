"""One structure with what several constraints need of it, computed once: distances, charges, bonds."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS
from aiida_qagenai.chemistry.charges import ChargeAssignment
from aiida_qagenai.chemistry.geometry import Neighbors, neighbors, validate_structure
from aiida_qagenai.chemistry.ionic_model import IONIC_POLARITY, IonicModel, ionic_model, not_ionic
from aiida_qagenai.chemistry.radii import COVALENT_RADII

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Bonding', 'Crystal')

CUTOFF = 6.0
"""Distances are known up to here, Å: 1.3 times the largest sum of covalent radii and twice the usual bond."""

ANION_CONTACT = 1.2
"""Two anions closer than this many sums of their covalent radii are bonded, as in pyrite; others have 1.35 or more."""

ANION_BOND_SCATTER = 0.3
"""Relative uncertainty of the valence of a bond between anions: 0.1 Å."""

TRIPLE_BOND = 1.2
"""Longest triple bond of carbon and nitrogen, Å: 1.10 in N2, 1.16 in cyanides, 1.19 in acetylides; 1.22 in NCN2−."""

METAL_CONTACT = 1.1
"""Two metals closer than this many sums of their covalent radii are bonded, if one has d electrons to bond with."""

COORDINATION_SHARE = 0.04
"""An anion coordinates a cation if its bond carries at least this share of the valence (Brown's convention)."""


@dataclasses.dataclass(frozen=True)
class Bonding:
    """The bonds between cations and anions of a heteropolar compound.

    :param model: oxidation states, bonds of unit valence and polarity, which the composition decides.
    :param charges: oxidation state of each atom, e, shape (n,).
    :param cation: index of the cation of each pair, shape (m,).
    :param anion: index of the anion, shape (m,).
    :param image: the cell of the anion as seen from the cation, shape (m, 3).
    :param distance: Å, shape (m,).
    :param unit_bond: R0, the length of a bond of unit valence, Å, shape (m,).
    :param uncertainty: half the difference between the published R0, Å, shape (m,).
    :param monatomic: whether all anions are single atoms with filled shells, not bonded to each other.
    :param paired: whether every anion is bonded to exactly one other, as in pyrite.
    :param anion_bonds: valence of the bonds to other anions that each anion has, shape (n,).
    :param metal_bonded: which cations are bonded to other metals, as in TaNiTe2, shape (n,).
    """

    model: IonicModel
    charges: NDArray[np.float64]
    cation: NDArray[np.int64]
    anion: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]
    unit_bond: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    monatomic: bool
    paired: bool
    anion_bonds: NDArray[np.float64]
    metal_bonded: NDArray[np.bool_]

    @functools.cached_property
    def shares(self) -> NDArray[np.float64]:
        """Return the share of each pair in the valence of its cation: these add up to one, shape (m,)."""
        # relative to the strongest bond of each cation, so that nothing overflows or vanishes
        exponents = (self.unit_bond - self.distance) / BOND_SOFTNESS
        strongest = np.full(len(self.charges), -np.inf)
        np.maximum.at(strongest, self.cation, exponents)
        valences = np.exp(exponents - strongest[self.cation])
        total = np.bincount(self.cation, weights=valences, minlength=len(self.charges))
        return t.cast(NDArray[np.float64], valences / total[self.cation])

    @functools.cached_property
    def bonded(self) -> NDArray[np.bool_]:
        """Return which pairs are bonds of the coordination polyhedra, shape (m,)."""
        return self.shares >= COORDINATION_SHARE

    def coordination(self) -> NDArray[np.int64]:
        """Return the number of anions that coordinate each atom, 0 for the anions, shape (n,)."""
        return np.bincount(self.cation[self.bonded], minlength=len(self.charges))


class Crystal:
    """A proper ordered crystal and quantities derived from it on demand.

    :raises InvalidInputError: if the structure is not a proper crystal.
    """

    def __init__(self, structure: Structure) -> None:
        validate_structure(structure)
        self.structure = structure
        self.numbers = np.array(structure.atomic_numbers, dtype=np.int64)
        self.symbols = np.array([site.specie.symbol for site in structure])
        self.radii = np.array([COVALENT_RADII[int(number)] for number in self.numbers])
        self.volume = float(structure.volume)

    def __len__(self) -> int:
        return len(self.numbers)

    @functools.cached_property
    def composition(self) -> dict[str, int]:
        """Return element → number of atoms in the cell."""
        symbols, counts = np.unique(self.symbols, return_counts=True)
        return {str(symbol): int(count) for symbol, count in zip(symbols, counts, strict=True)}

    @functools.cached_property
    def formula(self) -> str:
        """Return the reduced formula."""
        return str(self.structure.composition.reduced_formula)

    @functools.cached_property
    def not_ionic(self) -> str:
        """Return why formal charges mean nothing for this composition; empty if they do."""
        return not_ionic(self.composition)

    @functools.cached_property
    def neighbors(self) -> Neighbors:
        """Return all pairs up to ``CUTOFF``, self-images included."""
        return neighbors(self.structure, CUTOFF)

    @functools.cached_property
    def bonding(self) -> Bonding | str:
        """Return the cation–anion bonds, or why the compound is not heteropolar."""
        if self._triple_bonds():
            return 'triple bonds of carbon and nitrogen, as in cyanides'
        model = ionic_model(self.composition)
        anion_bonds = np.zeros(len(self)) if isinstance(model, str) else self._anion_bonds(model.assignment)
        if not isinstance(model, str) and anion_bonds.any():
            model = self._bonded_anions(model.assignment, anion_bonds)
        if isinstance(model, str):
            return model
        return model.covalent or self._bonds(model, anion_bonds)

    def contacts(self, factor: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which neighbours are closer than ``factor`` times the sum of their covalent radii, shape (m,)."""
        return self.neighbors.distance < factor * (self.radii[self.neighbors.first] + self.radii[self.neighbors.second])

    def _triple_bonds(self) -> bool:
        """Return whether carbon or nitrogen has a triple bond, whose electrons belong to neither of the two atoms."""
        first, second, _, distance = self.neighbors
        numbers = self.numbers
        light = np.isin(numbers[first], (6, 7)) & np.isin(numbers[second], (6, 7))
        return bool((light & (distance < TRIPLE_BOND)).any())

    def _anion_bonds(self, assignment: ChargeAssignment) -> NDArray[np.float64]:
        """Return the valence of the bonds between anions at each atom: 1 for the sulfur of pyrite, shape (n,)."""
        negative = np.array([assignment.states[symbol] < 0 for symbol in self.symbols])
        first, second, _, distance = self.neighbors
        lengths = self.radii[first] + self.radii[second]
        pairs = negative[first] & negative[second] & self.contacts(ANION_CONTACT)
        valences = np.exp((lengths[pairs] - distance[pairs]) / BOND_SOFTNESS)
        return t.cast(NDArray[np.float64], np.bincount(first[pairs], valences, len(self)))

    def _bonded_anions(self, usual: ChargeAssignment, anion_bonds: NDArray[np.float64]) -> IonicModel | str:
        """Return the charges where anions are bonded to each other: every bond saves the two of them an electron each.

        That is the octet rule, and gives Bi3+ for BiSe2, where half of the selenium is in pairs.
        """
        valences = {
            symbol: float(anion_bonds[self.symbols == symbol].sum())
            for symbol, state in usual.states.items()
            if state < 0
        }
        # as uncertain as a valence is at this length, the nearest whole number that balances
        for change in sorted(range(-len(self), len(self) + 1), key=abs):
            bonds = {symbol: round(valence) + change * (valence > 0) for symbol, valence in valences.items()}
            total = sum(valences.values())
            if abs(sum(bonds.values()) - total) <= max(0.5, ANION_BOND_SCATTER * total):
                model = ionic_model(self.composition, anion_bonds=bonds)
                if not isinstance(model, str):
                    return model
        return ionic_model(self.composition, closed_shell=False)

    def _metal_bonded(self, model: IonicModel) -> NDArray[np.bool_]:
        """Return which cations are bonded to another metal, shape (n,).

        Both are transition metals of a compound of low polarity, and one has d electrons that the anions left it.
        """
        bonded = np.zeros(len(self), dtype=bool)
        if model.polarity < IONIC_POLARITY:
            electrons = {symbol: _d_electrons(symbol, state) for symbol, state in model.assignment.states.items()}
            left = np.array([electrons[symbol] for symbol in self.symbols])
            first, second, _, _ = self.neighbors
            pairs = (
                self.contacts(METAL_CONTACT)
                & (np.minimum(left[first], left[second]) >= 0)
                & (np.maximum(left[first], left[second]) > 0)
            )
            bonded[first[pairs]] = True
        return bonded

    def _bonds(self, model: IonicModel, anion_bonds: NDArray[np.float64]) -> Bonding | str:
        charges = np.array([model.assignment.states[symbol] for symbol in self.symbols])
        first, second, image, distance = self.neighbors
        anions = charges < 0
        pairs = (charges[first] > 0) & anions[second]
        if np.bincount(first[pairs], minlength=len(self))[charges > 0].min() == 0:
            return f'a cation has no anion within {CUTOFF} Å'
        table = [
            model.units[a, b] for a, b in zip(self.symbols[first[pairs]], self.symbols[second[pairs]], strict=True)
        ]
        linked = np.bincount(first[anions[first] & anions[second] & self.contacts(ANION_CONTACT)], minlength=len(self))
        return Bonding(
            model=model,
            charges=charges,
            cation=first[pairs],
            anion=second[pairs],
            image=image[pairs],
            distance=distance[pairs],
            unit_bond=np.array([unit.length for unit in table]),
            uncertainty=np.array([unit.uncertainty for unit in table]),
            paired=bool((linked[anions] == 1).all()),
            monatomic=model.assignment.closed_shell and not anion_bonds.any(),
            anion_bonds=anion_bonds,
            metal_bonded=self._metal_bonded(model),
        )


@functools.cache
def _d_electrons(symbol: str, state: float) -> float:
    """Return how many d electrons a transition metal can bond with in an oxidation state; −1 for other elements."""
    from pymatgen.core import Element

    element = Element(symbol)
    if not element.is_transition_metal or state <= 0:
        return -1.0
    left = max(0.0, element.group - state)
    return left if left < 10 else 0.0  # a closed d shell does not take part
