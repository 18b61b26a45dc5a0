"""A space group that spglib can name (paper Table 1, symmetry validation)."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.symmetry import TOLERANCES, space_group

__all__ = ('Symmetry',)


class Symmetry:
    """The value is the space group number at the first tolerance with a consistent answer.

    :param minimum_number: smallest accepted number; 1 accepts every crystal whose symmetry can be determined.
    :param tolerances: distance tolerances in the order tried, Å.
    """

    name = 'symmetry'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, minimum_number: int = 1, tolerances: Sequence[float] = TOLERANCES) -> None:
        self.minimum_number = minimum_number
        self.tolerances = tuple(tolerances)

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the space group."""
        found = space_group(crystal.structure, self.tolerances)
        if found.number is None:
            return Verdict(self.name, None, self.minimum_number, 'fail', stage, found.failure or '')
        verdict: t.Literal['pass', 'fail'] = 'pass' if found.number >= self.minimum_number else 'fail'
        return Verdict(
            self.name, found.number, self.minimum_number, verdict, stage, f'{found.symbol} at {found.tolerance} Å'
        )
