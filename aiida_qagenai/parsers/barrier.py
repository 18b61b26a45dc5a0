"""Parser of :class:`~aiida_qagenai.calculations.atomistic.barrier.BarrierCalculation`."""

from __future__ import annotations

import typing as t

from aiida.orm import TrajectoryData
from numpy.typing import NDArray

from aiida_qagenai.chemistry.formula import chemical_system
from aiida_qagenai.data.finite_temperature import BarrierData
from aiida_qagenai.parsers.base import AtomisticParser, make_structures

__all__ = ('BarrierParser',)


class BarrierParser(AtomisticParser):
    """Make the record of the barrier and the trajectory from the packed path."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the two outputs."""
        images = make_structures(arrays)
        energies, distances = arrays['energies'].tolist(), arrays['distances'].tolist()
        barrier = BarrierData(
            formula=images[0].get_formula('hill'),
            chemical_system=chemical_system(images[0].get_formula()),
            num_atoms=len(images[0].sites),
            potential=results['potential'],
            barrier_forward=max(energies) - energies[0],
            barrier_reverse=max(energies) - energies[-1],
            reaction_energy=energies[-1] - energies[0],
            path_length=distances[-1],
            saddle=energies.index(max(energies)),
            max_force=results['max_force'],
            steps=results['steps'],
            single_barrier=not results['intermediate_minima'],
            energies=energies,
            distances=distances,
        )
        self.out('barrier', barrier)
        self.out('path', TrajectoryData(images))
