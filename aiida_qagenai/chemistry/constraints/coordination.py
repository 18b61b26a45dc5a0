"""Coordination numbers that the cations are known to take (paper Table 1)."""

from __future__ import annotations

import functools

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Coordination', 'expected_coordination')

_ROMAN = {'I': 1, 'II': 2, 'III': 3, 'IV': 4, 'V': 5, 'VI': 6, 'VII': 7, 'VIII': 8, 'IX': 9, 'X': 10, 'XI': 11}
_ROMAN |= {'XII': 12, 'XIV': 14}

LARGE_RADIUS = 1.1
"""Six-coordinate crystal radius from which a cation may have twelve neighbours, Å."""


class Coordination:
    """The number of anions around each cation lies near the numbers that Shannon tabulates for it.

    The value is the largest distance of a cation's coordination number from the range in R. D. Shannon, Acta Cryst.
    A 32, 751 (1976). An anion counts if it carries at least 4 % of the cation's valence. Metals that are
    bonded to each other (TaNi2TeSe) may have fewer anions than that. Does not apply without cations and anions.

    :param tolerance: accepted distance from the range: distorted shells are counted to one or two more or fewer.
    """

    name = 'coordination'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, tolerance: int = 2) -> None:
        if tolerance < 0:
            message = f'the tolerance of a coordination number must be at least 0, not {tolerance}'
            raise InvalidInputError(message)
        self.tolerance = tolerance

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the coordination numbers."""
        bonding = crystal.bonding
        if isinstance(bonding, str):
            return Verdict(self.name, None, self.tolerance, 'not_applicable', stage, bonding)
        numbers = bonding.coordination()
        cations = np.flatnonzero(bonding.charges > 0)
        ranges = [expected_coordination(str(crystal.symbols[i])) for i in cations]
        counted = [int(numbers[i]) for i in cations]
        fewer = bonding.metal_bonded[cations]
        misses = [
            max(n - high, 0 if metal else low - n, 0)
            for n, metal, (low, high) in zip(counted, fewer, ranges, strict=True)
        ]
        worst = int(np.argmax(misses))
        value, index = misses[worst], int(cations[worst])
        low, high = ranges[worst]
        reason = f'{crystal.symbols[index]}{index} has {numbers[index]} neighbours, expected {low}–{high}'
        return Verdict(self.name, value, self.tolerance, 'pass' if value <= self.tolerance else 'fail', stage, reason)


@functools.cache
def expected_coordination(symbol: str) -> tuple[int, int]:
    """Return the smallest and the largest coordination number of a cation, in any positive oxidation state.

    Shannon's table has gaps (Ac3+, U3+ and Np3+ only with six neighbours), hence the union over the states, and twelve
    neighbours for cations as large as Sr2+, which fill the cuboctahedron of a perovskite; 4–8 for what it leaves out.
    """
    from pymatgen.core import Element

    element = Element(symbol)
    table: dict[str, dict[str, object]] = element.data.get('Shannon radii') or {}
    # one entry has no state (Eu, VII)
    names = {name for state, entries in table.items() if state and int(state) > 0 for name in entries}
    if not names:
        return (4, 8)
    numbers = [_ROMAN[name.removesuffix('SQ').removesuffix('PY')] for name in names]
    largest = max((radius for state, radius in element.ionic_radii.items() if state > 0), default=0.0)
    return min(numbers), max(*numbers, 12 if largest >= LARGE_RADIUS else 0)
