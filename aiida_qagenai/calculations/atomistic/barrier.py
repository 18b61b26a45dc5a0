"""Find the minimum-energy path between two minima on a potential."""

from __future__ import annotations

import typing as t

from aiida.engine import CalcJobProcessSpec
from aiida.orm import TrajectoryData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation
from aiida_qagenai.data.finite_temperature import BarrierData

__all__ = ('BarrierCalculation',)


class BarrierCalculation(AtomisticCalculation):
    """Find the minimum-energy path between two structures; both ends are relaxed first.

    They have the same cell, and the same atoms in the same order.
    """

    TASK = 'barrier'
    STRUCTURES = ('initial', 'final')
    FILENAME_OUTPUT = 'barrier.npz'
    FILES: t.ClassVar[dict[str, str]] = {'structures': 'structures.npz', 'output': FILENAME_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        cls.define_structure(spec, 'initial', 'Structure at the start of the path.')
        cls.define_structure(spec, 'final', 'Structure at the end of the path.')
        spec.output('barrier', valid_type=BarrierData, required=False, help='Energies along the path and its barriers.')
        spec.output('path', valid_type=TrajectoryData, required=False, help='Images of the path, both ends included.')

    @classmethod
    def validate_inputs(cls, value: dict[str, t.Any], context: t.Any) -> str | None:
        """Refuse ends that do not belong together."""
        if 'initial' in value and 'final' in value:
            first, last = ([site.kind_name for site in value[name].sites] for name in cls.STRUCTURES)
            if first != last:
                return '`initial` and `final` must have the same atoms in the same order'
        return super().validate_inputs(value, context)
