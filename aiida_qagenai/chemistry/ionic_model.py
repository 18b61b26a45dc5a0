"""What the rules for ionic crystals need to know of a composition, and whether they apply to it at all."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing as t
from collections.abc import Mapping

from aiida_qagenai.chemistry.bond_valence import UnitBond, unit_bond
from aiida_qagenai.chemistry.charges import SIMPLE_ANIONS, ChargeAssignment, assign_bonded_charges, assign_charges
from aiida_qagenai.chemistry.oxidation_states import electronegativity

__all__ = ('IONIC_POLARITY', 'MINIMUM_POLARITY', 'IonicModel', 'ionic_model', 'not_ionic')

IONIC_POLARITY = 1.0
"""Smallest difference of mean electronegativity at which Pauling's rules for ionic crystals are asked for."""

MINIMUM_POLARITY = 0.5
"""Smallest difference of mean electronegativity at which bonds have the valences of ions."""

_HALOGENS = frozenset({'F', 'Cl', 'Br', 'I'})


@dataclasses.dataclass(frozen=True)
class IonicModel:
    """Charges of a heteropolar composition and the bonds between its cations and anions.

    :param assignment: oxidation states per element.
    :param units: (cation, anion) → the bond of unit valence.
    :param polarity: difference of mean electronegativity between anions and cations.
    """

    assignment: ChargeAssignment
    units: Mapping[tuple[str, str], UnitBond]
    polarity: float

    @property
    def covalent(self) -> str:
        """Return why the bonds are not those of ions; empty if they are."""
        states = self.assignment.states
        halides = _HALOGENS.issuperset(symbol for symbol, state in states.items() if state < 0)
        for symbol, state in states.items():
            if state < 0 and symbol not in SIMPLE_ANIONS:
                return f'{symbol} as an anion bonds covalently'
            if symbol in _HALOGENS and state > 0 and halides:
                return f'{symbol} is a part of a polyhalide ion or molecule'
        return ''

    @functools.cached_property
    def averaged(self) -> dict[str, tuple[float, float]]:
        """Return element → how much smaller and larger its real states are, where it has its state only on average.

        No ion has a single s electron: Pb3O4 is Pb2+ and Pb4+, Sb2O4 is Sb3+ and Sb5+, and gallium in GaS has a bond to
        gallium. Which atom has which state the composition does not tell.
        """
        from pymatgen.core import Element

        found = {}
        for symbol, state in self.assignment.states.items():
            electrons = Element(symbol).group - 10 - state
            if Element(symbol).block == 'p' and Element(symbol).row >= 4 and state > 0 and 0 < electrons < 2:
                found[symbol] = (2 - electrons, electrons)
        return found

    @property
    def no_pauling_rules(self) -> str:
        """Return why Pauling's rules for ionic crystals mean nothing for this composition; empty if they do."""
        if self.polarity < IONIC_POLARITY:
            return f'not ionic: polarity {self.polarity:.2f}'
        return f'{next(iter(self.averaged))} has its state only on average' if self.averaged else ''

    @property
    def published(self) -> bool:
        """Return whether every bond of unit valence is published (others are sums of covalent radii)."""
        return all(unit.published for unit in self.units.values())

    @property
    def no_bond_valences(self) -> str:
        """Return why bond-valence sums mean nothing for this composition; empty if they do."""
        from pymatgen.core import Element

        if not self.published:
            return 'an element has no published bond-valence parameter'
        if self.polarity < MINIMUM_POLARITY:
            return f'the electronegativities differ by {self.polarity:.2f} only'
        states = self.assignment.states
        if states.get('H', 0) < 0 and any(Element(symbol).is_transition_metal for symbol in states):
            return 'a hydride of a transition metal'
        return ''


def not_ionic(symbols: t.Collection[str]) -> str:
    """Return why formal charges mean nothing for a compound of these elements; empty if they do."""
    if len(symbols) == 1:
        return 'a single element'
    if SIMPLE_ANIONS.isdisjoint(symbols):
        return 'no element that forms simple anions'
    return ''


def ionic_model(
    composition: Mapping[str, int], *, closed_shell: bool = True, anion_bonds: Mapping[str, int] | None = None
) -> IonicModel | str:
    """Return the charges and bonds of a composition, or why it is not heteropolar.

    :param composition: element → number of atoms in the cell; multiples give the same model.
    :param closed_shell: whether anions with filled shells come first; not so where anions are bonded to each other.
    :param anion_bonds: anion → how many bonds to other anions its atoms in the cell have, if that is known.
    """
    bonds = dict(anion_bonds or {})
    divisor = math.gcd(*composition.values(), *bonds.values())
    key = tuple(sorted((symbol, amount // divisor) for symbol, amount in composition.items()))
    return _model(key, closed_shell, tuple(sorted((symbol, n // divisor) for symbol, n in bonds.items())))


@functools.lru_cache(maxsize=65_536)
def _model(
    key: tuple[tuple[str, int], ...], closed_shell: bool, bonds: tuple[tuple[str, int], ...]
) -> IonicModel | str:
    amounts = dict(key)
    reason = not_ionic(amounts)
    if reason:
        return reason
    if bonds:
        assignment = assign_bonded_charges(amounts, dict(bonds))
    else:
        assignment = assign_charges(amounts, closed_shell=closed_shell)
    if assignment is None:
        formula = ''.join(f'{symbol}{amount if amount > 1 else ""}' for symbol, amount in key)
        return f'no oxidation states in the order of electronegativity balance {formula}'
    units = {
        (cation, anion): unit_bond(cation, q, anion)
        for cation, q in assignment.states.items()
        for anion, p in assignment.states.items()
        if q > 0 > p
    }
    return IonicModel(assignment, units, _polarity(amounts, assignment))


def _polarity(amounts: Mapping[str, int], assignment: ChargeAssignment) -> float:
    def mean(sign: int) -> float:
        members = {symbol: n for symbol, n in amounts.items() if assignment.states[symbol] * sign > 0}
        total = sum(n * t.cast(float, electronegativity(symbol)) for symbol, n in members.items())
        return total / sum(members.values())

    return mean(-1) - mean(1)
