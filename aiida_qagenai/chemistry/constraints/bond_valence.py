"""Bond-valence sums near the oxidation states (paper Table 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.bond_valence import BOND_SOFTNESS, SCATTER
from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.constraints.base import BondingConstraint, Stage
from aiida_qagenai.chemistry.crystal import Bonding, Crystal
from aiida_qagenai.chemistry.ionic_model import IONIC_POLARITY

__all__ = ('BondValence', 'global_instability')

THRESHOLD = 0.3

LARGEST_SCALING = 0.03
"""Relative change of all bond lengths that the sums are free to take: density functionals misjudge lattice constants by
1–3 %."""

SCALINGS = 25
"""How many changes are tried."""


class BondValence(BondingConstraint):
    """The root mean square of (bond-valence sum − valence) over the ions is below 0.3 valence units.

    The valence of a cation is its oxidation state, and that of an anion the number of electrons that fill its shell,
    which bonds to other anions supply too (pyrite, polytellurides). The value is the global instability index of
    A. Salinas-Sanchez et al., J. Solid State Chem. 100, 201 (1992), after one common scaling of all bond lengths by at
    most 3 %, with the R0 of every cation anywhere within the uncertainty of its published values.

    The paper bounds the sum of each ion by 0.3 as it stands, which half of the known perovskites fail for reasons that
    are no fault of the structure: 1 % in a PBE lattice constant is 0.2 valence units of a tetravalent ion, published R0
    differ by 0.1 Å and more, and Jahn–Teller and stretched ions deviate alone in crystals that exist.

    Metals that are bonded to each other (TaNi2TeSe) may receive less than their charge from the anions, not more, and
    atoms of an element that has its state only on average (Pb3O4) anything between their real states.

    Does not apply without cations and anions, below a polarity of 0.5 (1.0 where all anions are in pairs, as in
    pyrite) and to hydrides of transition metals, whose bonds are covalent or metallic, or without published parameters.

    :param threshold: largest accepted index, valence units.
    """

    name = 'bond_valence'
    stages: tuple[Stage, ...] = ('final',)

    def __init__(self, threshold: float = THRESHOLD) -> None:
        super().__init__(threshold)

    def not_applicable(self, bonding: Bonding) -> str:
        if bonding.paired and bonding.model.polarity < IONIC_POLARITY:
            return f'covalent bonds to pairs of anions: polarity {bonding.model.polarity:.2f}'
        return bonding.model.no_bond_valences

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float, bool, str]:
        value, scaling = global_instability(bonding, crystal.symbols)
        reason = f'bond lengths scaled by {scaling:.3f}'
        if value < self.threshold:
            return value, True, reason
        return value, False, f'bond-valence sums are off by {value:.2f} on average, with {reason}'


def global_instability(
    bonding: Bonding, symbols: NDArray[np.str_], largest_scaling: float = LARGEST_SCALING
) -> tuple[float, float]:
    """Return the smallest global instability index within the uncertainties, and the scaling of the lengths there."""
    scalings = np.linspace(1 - largest_scaling, 1 + largest_scaling, SCALINGS)
    values = [_instability(bonding, symbols, float(scaling)) for scaling in scalings]
    best = int(np.argmin(values))
    return values[best], float(scalings[best])


def _instability(bonding: Bonding, symbols: NDArray[np.str_], scaling: float) -> float:
    """Return the index for bond lengths times ``scaling``, with the best R0 within the uncertainty of each cation."""
    number = len(bonding.charges)
    valences = np.exp((bonding.unit_bond - scaling * bonding.distance) / BOND_SOFTNESS)
    sums = np.bincount(bonding.cation, valences, number)
    limits = np.zeros(number)
    np.maximum.at(limits, bonding.cation, bonding.uncertainty)
    factors = np.ones(number)
    for symbol in np.unique(symbols[bonding.charges > 0]):
        ions = symbols == symbol
        wanted = BOND_SOFTNESS * np.log(bonding.charges[ions][0] / sums[ions].mean())
        factors[ions] = np.exp(np.clip(wanted, -limits[ions], limits[ions]) / BOND_SOFTNESS)
    corrected = valences * factors[bonding.cation]
    filled = np.array([-CLOSED_SHELL.get(str(symbol), 0) for symbol in symbols])
    deviations = np.where(bonding.charges > 0, -bonding.charges, -filled)
    np.add.at(deviations, bonding.cation, corrected)
    np.add.at(deviations, bonding.anion, corrected)
    if bonding.anion_bonds.any():
        wanted = BOND_SOFTNESS * np.log(max(-deviations[filled > 0].sum(), 1e-9) / bonding.anion_bonds.sum())
        deviations += bonding.anion_bonds * np.exp(np.clip(wanted, -SCATTER, SCATTER) / BOND_SOFTNESS)
    for symbol, (fewer, more) in bonding.model.averaged.items():
        atoms = symbols == symbol
        deviations[atoms] = (deviations[atoms] - more).clip(min=0) + (deviations[atoms] + fewer).clip(max=0)
    deviations[bonding.metal_bonded] = np.maximum(deviations[bonding.metal_bonded], 0.0)
    return float(np.sqrt((deviations**2).mean()))
