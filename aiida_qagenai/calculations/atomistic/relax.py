"""Relax a crystal on a potential."""

from __future__ import annotations

import typing as t

from aiida.engine import CalcJobProcessSpec
from aiida.orm import StructureData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation

__all__ = ('RelaxCalculation',)


class RelaxCalculation(AtomisticCalculation):
    """Relax a crystal until forces and stress are below their thresholds."""

    TASK = 'relax'
    STRUCTURES = ('structure',)
    FILENAME_OUTPUT = 'relaxed.npz'
    FILES: t.ClassVar[dict[str, str]] = {'structure': 'structures.npz', 'output': FILENAME_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        cls.define_structure(spec, 'structure', 'Crystal to relax.')
        spec.output('relaxed', valid_type=StructureData, required=False, help='Relaxed crystal.')
