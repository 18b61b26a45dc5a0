"""Published parameters of the bond-valence relation s = exp((R0 − d) / b)."""

from __future__ import annotations

import functools
import math
import typing as t

from aiida_qagenai.chemistry.charges import CLOSED_SHELL
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.chemistry.radii import COVALENT_RADII

__all__ = ('BOND_SOFTNESS', 'UnitBond', 'unit_bond')

BOND_SOFTNESS = 0.37
"""b, Å (I. D. Brown and D. Altermatt, Acta Cryst. B 41, 244, 1985)."""

SCATTER = 0.05
"""Smallest uncertainty of a published R0, Å: the two sets differ by 0.10 Å r.m.s. over 1,200 pairs of ions."""


class UnitBond(t.NamedTuple):
    """R0, the length of a bond of unit valence.

    :param length: Å.
    :param uncertainty: half the difference between the published estimates, Å, at least ``SCATTER``.
    :param published: whether there is any; else the length is the sum of the covalent radii.
    """

    length: float
    uncertainty: float
    published: bool


@functools.cache
def unit_bond(cation: str, state: float, anion: str) -> UnitBond:
    """Return R0 for a cation in a given oxidation state and an anion.

    The middle between two published sets that cover nearly all pairs. M. O'Keeffe and N. E. Brese, J. Am. Chem. Soc.
    113, 3226 (1991), combine two numbers per element, whatever its state. R. D. Shannon, Acta Cryst. A 32, 751 (1976),
    has radii per state: six equal bonds of the sum of the radii carry the charge of the cation if R0 = d + b ln(q / 6).
    The first is far off for single states (Cu2+–F by 0.2 Å), the second for covalent bonds; their difference tells.
    """
    by_element = _by_element(cation, anion)
    estimates = [*([] if by_element is None else [by_element]), *_by_radii(cation, state, anion)]
    if not estimates:
        radii = COVALENT_RADII[ATOMIC_NUMBERS[cation]] + COVALENT_RADII[ATOMIC_NUMBERS[anion]]
        return UnitBond(radii, SCATTER, False)
    uncertainty = max((max(estimates) - min(estimates)) / 2, SCATTER)
    return UnitBond((max(estimates) + min(estimates)) / 2, uncertainty, True)


def _by_element(cation: str, anion: str) -> float | None:
    from pymatgen.core import Element
    from pymatgen.core.bond_valence import BV_PARAMS

    one, two = BV_PARAMS.get(Element(cation)), BV_PARAMS.get(Element(anion))
    if one is None or two is None:
        return None
    r1, c1, r2, c2 = one['r'], one['c'], two['r'], two['c']
    return float(r1 + r2 - r1 * r2 * (math.sqrt(c1) - math.sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2))


def _by_radii(cation: str, state: float, anion: str) -> list[float]:
    """Return the estimates from radii: one, or two for an ion with a high-spin and a low-spin state."""
    from pymatgen.core import Element

    negative = Element(anion).ionic_radii
    filled = CLOSED_SHELL.get(anion)
    if filled not in negative:
        return []
    below, above = math.floor(state), math.ceil(state)
    found = []
    for key in ('Ionic radii', 'Ionic radii hs', 'Ionic radii ls'):
        positive = {int(q): float(radius) for q, radius in (Element(cation).data.get(key) or {}).items()}
        if below in positive and above in positive:
            # a mean state has a mean radius
            radius = positive[below] + (positive[above] - positive[below]) * (state - below)
            found.append(radius + float(negative[filled]) + BOND_SOFTNESS * math.log(state / 6))
    return found
