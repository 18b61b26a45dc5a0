"""Any ASE calculator as a potential, one crystal after the other."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import element_numbers
from aiida_qagenai.ml.graph import Pairs
from aiida_qagenai.ml.potentials.base import Evaluation, Potential
from aiida_qagenai.thermodynamics.vibrations.settings import EmtPotential

__all__ = ('AseCalculator', 'effective_medium')


class AseCalculator(Potential):
    """A calculator that gives energy, forces and stress of periodic crystals.

    :param calculator: used again for every crystal.
    :param options: what a :class:`~aiida_qagenai.ml.potentials.base.Potential` takes; ``level`` is the tag, and the
        others are unknown by default.
    """

    def __init__(self, calculator: t.Any, *, tag: str, **options: t.Any) -> None:
        unknown = {'level': tag, 'sha256': None, 'cutoff': None, 'elements': None}
        super().__init__(tag=tag, **{**unknown, **options})
        self._calculator = calculator

    def _evaluate(self, structures: StructureBatch, pairs: Sequence[Pairs]) -> Evaluation:
        energies, forces, stresses = [], [], []
        for atoms in structures.atoms():
            atoms.calc = self._calculator
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
            stresses.append(atoms.get_stress(voigt=False))
        return Evaluation(np.array(energies), np.concatenate(forces), np.stack(stresses))


def effective_medium() -> AseCalculator:
    """Return ASE's effective-medium theory."""
    from ase import Atoms
    from ase.calculators.emt import EMT

    calculator = EMT()
    calculator.initialize(Atoms('Cu'))  # the cutoff is the same for all elements
    return AseCalculator(
        calculator,
        tag=EmtPotential.tag,
        level=EmtPotential.level,
        cutoff=float(calculator.rc_list),
        elements=frozenset(element_numbers(EmtPotential.ELEMENTS)),
    )
