"""Coordination numbers, and Pauling's rules on bond strengths and polyhedra (paper section 3.2.2 and Table 1)."""

from __future__ import annotations

import collections
import functools

import numpy as np

from aiida_qagenai.chemistry.constraints.base import BondingConstraint
from aiida_qagenai.chemistry.crystal import Bonding, Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Coordination', 'ElectrostaticValence', 'PolyhedronLinking', 'expected_coordination', 'shared_anions')

_ROMAN = {'I': 1, 'II': 2, 'III': 3, 'IV': 4, 'V': 5, 'VI': 6, 'VII': 7, 'VIII': 8, 'IX': 9, 'X': 10, 'XI': 11}
_ROMAN |= {'XII': 12, 'XIV': 14}

LARGE_RADIUS = 1.1
"""Six-coordinate crystal radius from which a cation may have twelve neighbours, Å."""

SMALL_POLYHEDRON = 6
"""Largest coordination number of a cation that is small against its anions (radius ratio up to 0.73)."""

EDGE_LIMIT = 16.0
"""Product of charges from which two tetrahedra do not share an edge, e²: two tetravalent cations."""

FACE_LIMIT = 25.0
"""Product of charges from which two polyhedra do not share a face, e²: two pentavalent cations. Tetravalent ones do in
hexagonal perovskites (BaMnO3, BaRuO3)."""


class Coordination(BondingConstraint):
    """The number of anions around each cation lies near the numbers that Shannon tabulates for it.

    The value is the largest distance of a cation's coordination number from the range in R. D. Shannon, Acta Cryst.
    A 32, 751 (1976). An anion counts if it carries at least 4 % of the cation's valence. Metals that are
    bonded to each other (TaNi2TeSe) may have fewer anions than that. Does not apply without cations and anions.

    :param tolerance: accepted distance from the range: distorted shells are counted to one or two more or fewer.
    """

    name = 'coordination'

    def __init__(self, tolerance: int = 2) -> None:
        if tolerance < 0:
            raise InvalidInputError(f'the tolerance of a coordination number must be at least 0, not {tolerance}')
        self.threshold = self.tolerance = tolerance

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[int, bool, str]:
        cations = np.flatnonzero(bonding.charges > 0)
        numbers = bonding.coordination()[cations]
        low, high = np.array([expected_coordination(str(symbol)) for symbol in crystal.symbols[cations]]).T
        too_few = np.where(bonding.metal_bonded[cations], 0, low - numbers)
        misses = np.maximum(np.maximum(numbers - high, too_few), 0)
        worst = int(misses.argmax())
        atom = f'{crystal.symbols[cations[worst]]}{cations[worst]}'
        reason = f'{atom} has {numbers[worst]} neighbours, expected {low[worst]}–{high[worst]}'
        return int(misses[worst]), bool(misses[worst] <= self.tolerance), reason


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


class _PaulingRule(BondingConstraint):
    def not_applicable(self, bonding: Bonding) -> str:
        return bonding.model.no_pauling_rules or ('' if bonding.monatomic else 'anions are bonded to each other')


class ElectrostaticValence(_PaulingRule):
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

    def __init__(self, threshold: float = 0.2) -> None:
        super().__init__(threshold)

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float, bool, str]:
        strengths = bonding.charges[bonding.cation] * bonding.shares
        received = np.bincount(bonding.anion, strengths, len(crystal))
        anions = bonding.charges < 0
        value = float(np.sqrt(((received + bonding.charges)[anions] ** 2).mean()))
        return value, value < self.threshold, ''


class PolyhedronLinking(_PaulingRule):
    """Small, highly charged cations share no edges or faces of their polyhedra (Pauling's third rule).

    Edges count against tetrahedra from charges 4 and 4, faces against polyhedra of up to six anions from 5 and 5. The
    value is the number of forbidden links per cation. Applies like the electrostatic valence rule.
    """

    name = 'polyhedron_linking'

    def __init__(self) -> None:
        self.threshold = 0.0

    def measure(self, crystal: Crystal, bonding: Bonding) -> tuple[float, bool, str]:
        numbers = bonding.coordination()
        forbidden = []
        for (one, other), shared in shared_anions(bonding):
            product = float(bonding.charges[one] * bonding.charges[other])
            largest = max(numbers[one], numbers[other])
            tetrahedra = shared == 2 and largest <= 4 and product >= EDGE_LIMIT
            faces = shared >= 3 and largest <= SMALL_POLYHEDRON and product >= FACE_LIMIT
            if tetrahedra or faces:
                kind = 'a face' if faces else 'an edge'
                forbidden.append(f'{crystal.symbols[one]}{one} and {crystal.symbols[other]}{other} share {kind}')
        value = len(forbidden) / int((bonding.charges > 0).sum())
        return value, not forbidden, forbidden[0] if forbidden else ''


def shared_anions(bonding: Bonding) -> list[tuple[tuple[int, int], int]]:
    """Return ((cation, cation), number of anions that both coordinate) for every linked pair, images apart."""
    around: dict[int, list[tuple[int, tuple[int, ...]]]] = collections.defaultdict(list)
    kept = np.flatnonzero(bonding.bonded)
    for index in kept:
        # as seen from the anion, the cation lies in the opposite cell
        cell = tuple(int(-x) for x in bonding.image[index])
        around[int(bonding.anion[index])].append((int(bonding.cation[index]), cell))
    links: collections.Counter[tuple[int, int, tuple[int, ...]]] = collections.Counter()
    for shell in around.values():
        for position, (one, cell_one) in enumerate(shell):
            for other, cell_other in shell[position + 1 :]:
                shift = tuple(b - a for a, b in zip(cell_one, cell_other, strict=True))
                back = tuple(-x for x in shift)
                links[min((one, other, shift), (other, one, back))] += 1
    return [((one, other), count) for (one, other, _), count in links.items()]
