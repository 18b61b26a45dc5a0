"""Bonds between anions obey the octet rule."""

from __future__ import annotations

import math

import numpy as np

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS, SCATTER
from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('SATURATION', 'AnionSaturation')

SATURATION = math.exp(SCATTER / BOND_SOFTNESS)
"""One, and what an error of 0.05 Å in a published length adds to a bond valence."""


class AnionSaturation:
    """No anion has more bonds to other anions than electrons are missing in its shell.

    The value is the largest bond valence that an anion receives from other anions over the electrons that fill its
    shell: 0 in oxides, 1/2 in pyrite and peroxides, 0.8 in square nets of tellurium, and 2 where a tellurium atom took
    the place of the nickel in NiTe2. It asks nothing of the bonds to the metals, and so applies however covalent they
    are; not without anions.

    :param threshold: largest accepted value.
    """

    name = 'anion_saturation'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, threshold: float = SATURATION) -> None:
        if not threshold > 0:
            message = f'the threshold of the anion saturation must be positive, not {threshold}'
            raise InvalidInputError(message)
        self.threshold = threshold

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the bonds between anions."""
        bonding = crystal.bonding
        if isinstance(bonding, str):
            return Verdict(self.name, None, self.threshold, 'not_applicable', stage, bonding)
        anions = np.flatnonzero(bonding.charges < 0)
        missing = np.array([-CLOSED_SHELL[crystal.symbols[i]] for i in anions])
        ratios = bonding.anion_bonds[anions] / missing
        worst = int(ratios.argmax())
        value, index = float(ratios[worst]), int(anions[worst])
        if value <= self.threshold:
            return Verdict(self.name, value, self.threshold, 'pass', stage)
        reason = f'{crystal.symbols[index]}{index} has bonds of valence {value * missing[worst]:.1f} to other anions'
        return Verdict(self.name, value, self.threshold, 'fail', stage, reason)
