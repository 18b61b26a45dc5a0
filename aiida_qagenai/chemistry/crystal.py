"""One structure with what several constraints need of it, computed once: distances, charges, bonds."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS, unit_bond
from aiida_qagenai.chemistry.charges import SIMPLE_ANIONS, ChargeAssignment, assign_charges
from aiida_qagenai.chemistry.geometry import Neighbors, neighbors, validate_structure
from aiida_qagenai.chemistry.oxidation_states import electronegativity
from aiida_qagenai.chemistry.radii import COVALENT_RADII

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Bonding', 'Crystal')

CUTOFF = 6.0
"""Distances are known up to here, Å: 1.3 times the largest sum of covalent radii and twice the usual bond."""

ANION_CONTACT = 1.2
"""Two anions closer than this many sums of their covalent radii are bonded, as in pyrite; others have 1.35 or more."""

COORDINATION_SHARE = 0.04
"""An anion coordinates a cation if its bond carries at least this share of the valence (Brown's convention)."""


@dataclasses.dataclass(frozen=True)
class Bonding:
    """The bonds between cations and anions of a heteropolar compound.

    :param assignment: oxidation states per element.
    :param charges: oxidation state of each atom, e, shape (n,).
    :param cation: index of the cation of each pair, shape (m,).
    :param anion: index of the anion, shape (m,).
    :param image: the cell of the anion as seen from the cation, shape (m, 3).
    :param distance: Å, shape (m,).
    :param unit_bond: R0, the length of a bond of unit valence, Å, shape (m,).
    :param uncertainty: half the difference between the published R0, Å, shape (m,).
    :param published: whether every R0 is published (others are sums of covalent radii).
    :param polarity: difference of mean electronegativity between anions and cations.
    :param monatomic: whether all anions are single atoms with filled shells, not bonded to each other.
    :param anion_bonds: valence of the bonds to other anions that each anion has, shape (n,).
    """

    assignment: ChargeAssignment
    charges: NDArray[np.float64]
    cation: NDArray[np.int64]
    anion: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]
    unit_bond: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    published: bool
    polarity: float
    monatomic: bool
    anion_bonds: NDArray[np.float64]

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
        if len(self.composition) == 1:
            return 'a single element'
        if not SIMPLE_ANIONS & set(self.composition):
            return 'no element that forms simple anions'
        return ''

    @functools.cached_property
    def neighbors(self) -> Neighbors:
        """Return all pairs up to ``CUTOFF``, self-images included."""
        return neighbors(self.structure, CUTOFF)

    @functools.cached_property
    def bonding(self) -> Bonding | str:
        """Return the cation–anion bonds, or why the compound is not heteropolar."""
        if self.not_ionic:
            return self.not_ionic
        assignment = assign_charges(self.composition)
        anion_bonds = self._anion_bonds(assignment) if assignment is not None else np.zeros(len(self))
        if anion_bonds.any():
            assignment = assign_charges(self.composition, closed_shell=False)
        if assignment is None:
            return f'no oxidation states in the order of electronegativity balance {self.formula}'
        for symbol, state in assignment.states.items():
            if state < 0 and symbol not in SIMPLE_ANIONS:
                return f'{symbol} as an anion bonds covalently'
        return self._bonds(assignment, anion_bonds)

    def _anion_bonds(self, assignment: ChargeAssignment) -> NDArray[np.float64]:
        """Return the valence of the bonds between anions at each atom: 1 for the sulfur of pyrite, shape (n,)."""
        negative = np.array([assignment.states[symbol] < 0 for symbol in self.symbols])
        first, second, _, distance = self.neighbors
        lengths = self.radii[first] + self.radii[second]
        pairs = negative[first] & negative[second] & (distance < ANION_CONTACT * lengths)
        valences = np.exp((lengths[pairs] - distance[pairs]) / BOND_SOFTNESS)
        sums = np.zeros(len(self))
        np.add.at(sums, first[pairs], valences)
        return sums

    def _bonds(self, assignment: ChargeAssignment, anion_bonds: NDArray[np.float64]) -> Bonding | str:
        charges = np.array([assignment.states[symbol] for symbol in self.symbols])
        first, second, image, distance = self.neighbors
        pairs = (charges[first] > 0) & (charges[second] < 0)
        if np.bincount(first[pairs], minlength=len(self))[charges > 0].min() == 0:
            return f'a cation has no anion within {CUTOFF} Å'
        units = {
            (a, b): unit_bond(a, q, b)
            for a, q in assignment.states.items()
            for b, p in assignment.states.items()
            if q > 0 > p
        }
        table = [units[a, b] for a, b in zip(self.symbols[first[pairs]], self.symbols[second[pairs]], strict=True)]
        return Bonding(
            assignment=assignment,
            charges=charges,
            cation=first[pairs],
            anion=second[pairs],
            image=image[pairs],
            distance=distance[pairs],
            unit_bond=np.array([unit.length for unit in table]),
            uncertainty=np.array([unit.uncertainty for unit in table]),
            published=all(unit.published for unit in units.values()),
            polarity=self._polarity(charges),
            monatomic=assignment.closed_shell and not anion_bonds.any(),
            anion_bonds=anion_bonds,
        )

    def _polarity(self, charges: NDArray[np.float64]) -> float:
        values = np.array([t.cast(float, electronegativity(str(symbol))) for symbol in self.symbols])
        return float(values[charges < 0].mean() - values[charges > 0].mean())
