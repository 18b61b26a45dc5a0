"""Pauling's rules on how coordination polyhedra share corners, edges and faces (paper section 3.2.2)."""

from __future__ import annotations

import collections

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Bonding, Crystal

__all__ = ('PolyhedronLinking', 'shared_anions')

SMALL_POLYHEDRON = 6
"""Largest coordination number of a cation that is small against its anions (radius ratio up to 0.73)."""

EDGE_LIMIT = 16.0
"""Product of charges from which two tetrahedra do not share an edge, e²: two tetravalent cations."""

FACE_LIMIT = 25.0
"""Product of charges from which two polyhedra do not share a face, e²: two pentavalent cations. Tetravalent ones do in
hexagonal perovskites (BaMnO3, BaRuO3)."""


class PolyhedronLinking:
    """Small, highly charged cations share no edges or faces of their polyhedra (Pauling's third rule).

    Edges count against tetrahedra from charges 4 and 4, faces against polyhedra of up to six anions from 5 and 5. The
    value is the number of forbidden links per cation. Applies like the electrostatic valence rule.
    """

    name = 'polyhedron_linking'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the links between polyhedra."""
        bonding = crystal.bonding
        if isinstance(bonding, str):
            return Verdict(self.name, None, 0.0, 'not_applicable', stage, bonding)
        reason = bonding.model.no_pauling_rules or ('' if bonding.monatomic else 'anions are bonded to each other')
        if reason:
            return Verdict(self.name, None, 0.0, 'not_applicable', stage, reason)
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
        if not forbidden:
            return Verdict(self.name, 0.0, 0.0, 'pass', stage)
        return Verdict(self.name, value, 0.0, 'fail', stage, forbidden[0])


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
