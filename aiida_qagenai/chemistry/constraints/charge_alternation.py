"""Every ion is surrounded by ions of the other sign (Pauling's first rule)."""

from __future__ import annotations

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal

__all__ = ('ChargeAlternation',)


class ChargeAlternation:
    """The nearest neighbour of every ion has the opposite charge; the value is the share of ions that break this.

    Where anions are bonded to each other (pyrite, polytellurides) only the cations are asked, and metals that are
    bonded to each other (TaNiTe2) are not. Protons count as a part of the anion that they are bound to. Does not apply
    without cations and anions.
    """

    name = 'charge_alternation'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the nearest neighbours."""
        bonding = crystal.bonding
        if isinstance(bonding, str):
            return Verdict(self.name, None, 0.0, 'not_applicable', stage, bonding)
        first, second, _, distance = crystal.neighbors
        charges = bonding.charges
        opposite = np.full(len(crystal), np.inf)
        like = np.full(len(crystal), np.inf)
        different = charges[first] * charges[second] < 0
        np.minimum.at(opposite, first[different], distance[different])
        # the proton of OH−, SH− and NH2− belongs to its anion, however close to another cation
        protons = (crystal.symbols == 'H') & (charges > 0)
        same = ~different & ~protons[first] & ~protons[second]
        np.minimum.at(like, first[same], distance[same])
        asked = ~bonding.metal_bonded & (bonding.monatomic | (charges > 0))
        if not asked.any():
            return Verdict(self.name, None, 0.0, 'not_applicable', stage, 'all ions are bonded to their like')
        broken = asked & (like < opposite)
        value = float(broken.sum() / asked.sum())
        if not broken.any():
            return Verdict(self.name, value, 0.0, 'pass', stage)
        worst = int(np.flatnonzero(broken)[0])
        reason = f'the nearest neighbour of {crystal.symbols[worst]}{worst} has a charge of the same sign'
        return Verdict(self.name, value, 0.0, 'fail', stage, reason)
