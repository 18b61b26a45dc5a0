"""Charges that add up to exactly zero (paper section 3.1.1, Table 1)."""

from __future__ import annotations

from collections.abc import Collection

from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE, oxidation_states
from aiida_qagenai.chemistry.polyanions import bonded_neutrality

__all__ = ('ChargeNeutrality',)


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
