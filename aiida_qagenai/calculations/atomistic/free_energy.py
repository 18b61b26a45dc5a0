"""Compute the quasi-harmonic free energy of a crystal on a potential."""

from __future__ import annotations

import typing as t

from aiida.engine import CalcJobProcessSpec
from aiida.orm import ArrayData, StructureData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation
from aiida_qagenai.data.finite_temperature import FreeEnergyData

__all__ = ('FreeEnergyCalculation',)


class FreeEnergyCalculation(AtomisticCalculation):
    """Relax a crystal and compute its phonons and Gibbs energy over the temperature.

    Imaginary modes are a result: the job succeeds, the output ``free_energy`` says so and has no curves.
    """

    TASK = 'free_energy'
    STRUCTURES = ('structure',)
    FILENAME_OUTPUT = 'free_energy.npz'
    FILES: t.ClassVar[dict[str, str]] = {'structure': 'structures.npz', 'output': FILENAME_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        cls.define_structure(spec, 'structure', 'Crystal; it is relaxed first.')
        spec.output('relaxed', valid_type=StructureData, required=False, help='Relaxed crystal.')
        spec.output(
            'free_energy',
            valid_type=FreeEnergyData,
            required=False,
            help='Gibbs energy over the temperature, and its derivatives.',
        )
        spec.output(
            'phonons',
            valid_type=ArrayData,
            required=False,
            help='band_distances (q,), 1/Å; band_frequencies (q, branches), THz; band_ticks; dos_frequencies and dos, '
            'per THz and atom; point_* for each volume: volumes, Å3/atom, energies, eV/atom, lowest, THz.',
        )
