"""Relaxation of crystals on an ASE calculator."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import NotConvergedError
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('Relaxed', 'Report', 'finite_forces', 'quiet', 'relax', 'relax_within')

Report = Callable[[str, Mapping[str, float]], None]
"""Called with what is done and its figures, for progress."""

Freedom = t.Literal['cell', 'shape', 'atoms']
"""What moves beside the atoms: the whole cell, its shape at fixed volume, or nothing."""


@dataclasses.dataclass(frozen=True)
class Relaxed:
    """A crystal after a relaxation.

    :param atoms: without a calculator.
    :param energy: eV.
    :param max_force: eV/Å.
    :param max_stress: largest component that the freedom lets relax, eV/Å3; 0 for a fixed cell.
    :param steps: optimiser steps.
    """

    atoms: Atoms
    energy: float
    max_force: float
    max_stress: float
    steps: int

    def is_within(self, settings: RelaxSettings) -> bool:
        """Return whether forces and stress are below their thresholds."""
        return self.max_force <= settings.max_force and self.max_stress <= settings.max_stress


def quiet(label: str, figures: Mapping[str, float]) -> None:
    """Report nothing."""


def relax(
    atoms: Atoms,
    calculator: t.Any,
    settings: RelaxSettings | None = None,
    *,
    freedom: Freedom = 'cell',
    report: Report = quiet,
) -> Relaxed:
    """Return ``atoms`` relaxed until forces and stresses are below their thresholds.

    :param freedom: what moves beside the atoms.
    :raises NotConvergedError: after ``max_steps``, with the forces and stresses reached.
    :raises FloatingPointError: if the potential gives a number that is not finite.
    """
    settings = settings or RelaxSettings()
    found = relax_within(atoms, calculator, settings, freedom=freedom, report=report)
    if not found.is_within(settings):
        message = (
            f'the relaxation of {found.atoms.get_chemical_formula()} reached a force of {found.max_force:.3g} eV/Å '
            f'(wanted {settings.max_force:g}) and a stress of {found.max_stress:.3g} eV/Å3 (wanted '
            f'{settings.max_stress:g}) in {settings.max_steps} steps'
        )
        raise NotConvergedError(message, what='relaxation')
    return found


def relax_within(
    atoms: Atoms,
    calculator: t.Any,
    settings: RelaxSettings,
    *,
    freedom: Freedom = 'cell',
    report: Report = quiet,
) -> Relaxed:
    """Return what :func:`relax` reaches, converged or not.

    :raises FloatingPointError: if the potential gives a number that is not finite.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    moving = atoms.copy()
    moving.calc = calculator
    if settings.keep_symmetry:
        moving.set_constraint(FixSymmetry(moving))
    target = moving
    if freedom != 'atoms':
        target = FrechetCellFilter(moving, constant_volume=freedom == 'shape')
    optimiser = BFGS(target, logfile=None, maxstep=0.1)
    force = stress = float('inf')
    # The thresholds are ours: the optimiser's own mixes forces with stresses times the volume.
    for _ in optimiser.irun(fmax=0.0, steps=settings.max_steps):
        force = float(np.linalg.norm(finite_forces(moving), axis=1).max())
        stress = _stress(moving, freedom)
        report('relax', {'force': force, 'stress': stress})
        if force <= settings.max_force and stress <= settings.max_stress:
            break
    energy = float(moving.get_potential_energy())
    relaxed = moving.copy()
    relaxed.set_constraint()
    return Relaxed(relaxed, energy, force, stress, int(optimiser.nsteps))


def finite_forces(atoms: Atoms) -> NDArray[np.float64]:
    """Return the forces on ``atoms``, shape (n, 3), eV/Å.

    :raises FloatingPointError: if one is not finite.
    """
    forces: NDArray[np.float64] = np.asarray(atoms.get_forces(), dtype=np.float64)
    if not np.isfinite(forces).all():
        raise FloatingPointError(f'the potential gives forces on {atoms.get_chemical_formula()} that are not finite')
    return forces


def _stress(atoms: Atoms, freedom: Freedom) -> float:
    """Return the largest component of the stress that the freedom lets relax, eV/Å3."""
    if freedom == 'atoms':
        return 0.0
    stress = atoms.get_stress(voigt=False)
    if freedom == 'shape':
        stress = stress - np.trace(stress) / 3 * np.eye(3)
    return float(np.abs(stress).max())
