"""Pauling's electrostatic valence rule and local charge neutrality (paper section 3.2.2)."""

from __future__ import annotations

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('ElectrostaticValence',)


class ElectrostaticValence:
    """Around every anion, the strengths of the bonds that reach it add up to its charge, within 0.2 e on average.

    The strength of a bond is Z_i / CN_i in Pauling's rule. That counts a distorted polyhedron as if its bonds were
    equal, so that whether a bond of 3 Å is the eighth or none decides over the verdict; here the cation's charge is
    divided in proportion to bond valence, which gives Z_i / CN_i in a regular polyhedron. (The paper sums over the
    anions around each cation, which gives Z_i whatever the structure.) The value is the root mean square over the
    anions of the excess, e.

    Does not apply below a polarity of 1.0, nor where anions are bonded to each other or an element has its state only
    on average (Pb3O4).

    :param threshold: largest accepted value, e.
    """

    name = 'electrostatic_valence'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, threshold: float = 0.2) -> None:
        if not threshold > 0:
            message = f'the threshold of the electrostatic valence must be positive, not {threshold}'
            raise InvalidInputError(message)
        self.threshold = threshold

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the charges that reach the anions."""
        bonding = crystal.bonding
        if isinstance(bonding, str):
            return Verdict(self.name, None, self.threshold, 'not_applicable', stage, bonding)
        reason = bonding.model.no_pauling_rules or ('' if bonding.monatomic else 'anions are bonded to each other')
        if reason:
            return Verdict(self.name, None, self.threshold, 'not_applicable', stage, reason)
        strengths = bonding.charges[bonding.cation] * bonding.shares
        received = np.bincount(bonding.anion, strengths, len(crystal))
        anions = bonding.charges < 0
        value = float(np.sqrt(((received + bonding.charges)[anions] ** 2).mean()))
        return Verdict(self.name, value, self.threshold, 'pass' if value < self.threshold else 'fail', stage)
