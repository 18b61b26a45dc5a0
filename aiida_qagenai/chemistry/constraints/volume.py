"""A volume that the atoms can fill."""

from __future__ import annotations

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.radii import SPHERE_RADII
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('VolumePerAtom',)


class VolumePerAtom:
    """The volume of the cell in units of the volume of its covalent spheres lies in a window.

    The value is V / Σ (4π/3) r_i³, where hydrogen has the radius of oxygen. Close-packed metals have about 1.0–1.4,
    most oxides 2–5 and molecular crystals (H2, N2, CH4) 8–18.

    :param minimum: smallest accepted ratio.
    :param maximum: largest accepted ratio; three quarters of the way to it is vacuum.
    """

    name = 'volume_per_atom'
    stages: tuple[Stage, ...] = ('generation', 'validation', 'final')

    def __init__(self, minimum: float = 0.4, maximum: float = 20.0) -> None:
        if not 0 < minimum < maximum:
            message = f'the window must satisfy 0 < minimum < maximum, not {minimum} and {maximum}'
            raise InvalidInputError(message)
        self.minimum = minimum
        self.maximum = maximum

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the volume."""
        radii = np.array([SPHERE_RADII[int(number)] for number in crystal.numbers])
        value = float(crystal.volume / (4 / 3 * np.pi * (radii**3).sum()))
        if value < self.minimum:
            return Verdict(self.name, value, self.minimum, 'fail', stage, 'too dense')
        if value > self.maximum:
            return Verdict(self.name, value, self.maximum, 'fail', stage, 'too empty')
        return Verdict(self.name, value, self.minimum, 'pass', stage)
