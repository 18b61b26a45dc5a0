"""A window of mass densities, where a user asks for one."""

from __future__ import annotations

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Density',)


class Density:
    """The mass density lies in a window; the value is in g/cm³.

    :param minimum: smallest accepted density, g/cm³.
    :param maximum: largest accepted density, g/cm³; osmium has 22.6.
    """

    name = 'density'
    stages: tuple[Stage, ...] = ('generation', 'validation', 'final')

    def __init__(self, minimum: float = 0.05, maximum: float = 25.0) -> None:
        if not 0 <= minimum < maximum:
            message = f'the window must satisfy 0 <= minimum < maximum, not {minimum} and {maximum}'
            raise InvalidInputError(message)
        self.minimum = minimum
        self.maximum = maximum

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the density."""
        value = float(crystal.structure.density)
        if value < self.minimum:
            return Verdict(self.name, value, self.minimum, 'fail', stage, 'too light')
        if value > self.maximum:
            return Verdict(self.name, value, self.maximum, 'fail', stage, 'too heavy')
        return Verdict(self.name, value, self.minimum, 'pass', stage)
