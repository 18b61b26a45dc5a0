"""Constraints on charges: neutrality (paper section 3.1.1), Pauling's first rule, and the octet rule."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS, SCATTER
from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.chemistry.constraints.base import BondingConstraint, Stage, Verdict
from aiida_qagenai.chemistry.crystal import Bonding, Crystal
from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE, oxidation_states
from aiida_qagenai.chemistry.polyanions import bonded_neutrality

__all__ = ('SATURATION', 'AnionSaturation', 'ChargeAlternation', 'ChargeNeutrality')

SATURATION = math.exp(SCATTER / BOND_SOFTNESS)
"""One, and what an error of 0.05 Å in a published length adds to a bond valence."""


class ChargeNeutrality:
    """Whole oxidation states of a published list add up to zero; the value is 1 where they do.

    Does not apply without an element that forms simple anions: elements, alloys, intermetallics, carbides, silicides
    and pnictides exchange no whole charges.

    :param mixed_valence: elements whose atoms may differ in state; ``True`` for the default elements.
    :param source: the list of oxidation states.
    """

    name = 'charge_neutrality'
    stages: tuple[Stage, ...] = ('sampling', 'generation', 'validation', 'final')

    def __init__(self, mixed_valence: bool | Collection[str] = True, source: str = DEFAULT_SOURCE) -> None:
        oxidation_states('H', source)
        self.mixed_valence = mixed_valence
        self.source = source

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the composition."""
        if crystal.not_ionic:
            return Verdict(self.name, None, 1, 'not_applicable', stage, crystal.not_ionic)
        if is_charge_neutral(crystal.composition, mixed_valence=self.mixed_valence, source=self.source):
            return Verdict(self.name, 1, 1, 'pass', stage)
        explanation = bonded_neutrality(crystal, mixed_valence=self.mixed_valence, source=self.source)
        if explanation is not None:
            return Verdict(self.name, 1, 1, 'pass', stage, explanation)
        reason = f'no {self.source} oxidation states make {crystal.formula} neutral'
        return Verdict(self.name, 0, 1, 'fail', stage, reason)


class ChargeAlternation(BondingConstraint):
    """The nearest neighbour of every ion has the opposite charge; the value is the share of ions that break this.

    Where anions are bonded to each other (pyrite, polytellurides) only the cations are asked, and metals that are
    bonded to each other (TaNiTe2) are not. Protons count as a part of the anion that they are bound to. Does not apply
    without cations and anions.
    """

    name = 'charge_alternation'

    def __init__(self) -> None:
        self.threshold = 0.0

    def not_applicable(self, bonding: Bonding) -> str:
        return '' if self._asked(bonding).any() else 'all ions are bonded to their like'

    @staticmethod
    def _asked(bonding: Bonding) -> NDArray[np.bool_]:
        return ~bonding.metal_bonded & (bonding.monatomic | (bonding.charges > 0))

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float, bool, str]:
        first, second, _, distance = crystal.neighbors
        charges, asked = bonding.charges, self._asked(bonding)
        opposite, like = np.full((2, len(crystal)), np.inf)
        different = charges[first] * charges[second] < 0
        np.minimum.at(opposite, first[different], distance[different])
        # the proton of OH−, SH− and NH2− belongs to its anion, however close to another cation
        protons = (crystal.symbols == 'H') & (charges > 0)
        same = ~different & ~protons[first] & ~protons[second]
        np.minimum.at(like, first[same], distance[same])
        broken = np.flatnonzero(asked & (like < opposite))
        if not len(broken):
            return 0.0, True, ''
        worst = f'{crystal.symbols[broken[0]]}{broken[0]}'
        reason = f'the nearest neighbour of {worst} has a charge of the same sign'
        return float(len(broken) / asked.sum()), False, reason


class AnionSaturation(BondingConstraint):
    """No anion has more bonds to other anions than electrons are missing in its shell.

    The value is the largest bond valence that an anion receives from other anions over the electrons that fill its
    shell: 0 in oxides, 1/2 in pyrite and peroxides, 0.8 in square nets of tellurium, and 2 where a tellurium atom took
    the place of the nickel in NiTe2. It asks nothing of the bonds to the metals, and so applies however covalent they
    are; not without anions.

    :param threshold: largest accepted value.
    """

    name = 'anion_saturation'

    def __init__(self, threshold: float = SATURATION) -> None:
        super().__init__(threshold)

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float, bool, str]:
        anions = np.flatnonzero(bonding.charges < 0)
        missing = np.array([-CLOSED_SHELL[crystal.symbols[i]] for i in anions])
        ratios = bonding.anion_bonds[anions] / missing
        worst = int(ratios.argmax())
        value, index = float(ratios[worst]), int(anions[worst])
        reason = f'{crystal.symbols[index]}{index} has bonds of valence {value * missing[worst]:.1f} to other anions'
        return value, value <= self.threshold, '' if value <= self.threshold else reason
