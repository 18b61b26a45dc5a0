"""Minimum-energy path and barrier between two minima: nudged elastic band with a climbing image, through ASE.

Henkelman & Jónsson, J. Chem. Phys. 113, 9978 (2000); Henkelman, Uberuaga & Jónsson, ibid. 9901.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError, NotConvergedError
from aiida_qagenai.thermodynamics.vibrations.relaxation import Relaxed, Report, quiet, relax
from aiida_qagenai.thermodynamics.vibrations.settings import BandSettings, RelaxSettings

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('MinimumEnergyPath', 'find_barrier')

SMALLEST_MOVE = 0.1
"""Two ends whose atoms all are closer than this are one minimum, Å."""

CLIMB_BELOW = 5.0
"""The band climbs once its forces are below this many times the threshold."""

DIP = 0.01
"""An image this much below both neighbours is an intermediate minimum, eV."""


@dataclasses.dataclass(frozen=True)
class MinimumEnergyPath:
    """A converged path.

    :param images: both ends included, without calculators, n of them.
    :param energies: relative to the first image, shape (n,), eV.
    :param distances: length of the path up to each image, shape (n,), Å.
    :param max_force: largest force across the path, at the climbing image also along it, eV/Å.
    :param steps: optimiser steps of the band.
    :param intermediate_minima: indices of images that are minima between the ends: the path has several barriers.
    """

    images: tuple[Atoms, ...]
    energies: NDArray[np.float64]
    distances: NDArray[np.float64]
    max_force: float
    steps: int
    intermediate_minima: tuple[int, ...]

    @property
    def saddle(self) -> int:
        """Return the index of the image of highest energy."""
        return int(np.argmax(self.energies))

    @property
    def forward(self) -> float:
        """Return the barrier from the first to the last image, eV."""
        return float(self.energies.max())

    @property
    def reverse(self) -> float:
        """Return the barrier from the last to the first image, eV."""
        return float(self.energies.max() - self.energies[-1])


def find_barrier(
    initial: Atoms,
    final: Atoms,
    calculator: t.Any,
    settings: BandSettings | None = None,
    *,
    report: Report = quiet,
) -> MinimumEnergyPath:
    """Relax both ends at fixed cell and return the minimum-energy path between them.

    :param initial: the same atoms in the same order and cell as ``final``.
    :raises InvalidInputError: if the ends do not belong together or are, or relax to, one and the same minimum.
    :raises NotConvergedError: after ``max_steps``, with the force reached.
    :raises FloatingPointError: if the potential gives a number that is not finite.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.mep import NEB

    settings = settings or BandSettings()
    _require_same_atoms(initial, final)
    _require_a_move(initial, final, 'are the same structure')
    ends = [_relax_end(atoms, calculator, settings, report) for atoms in (initial, final)]
    _require_a_move(ends[0].atoms, ends[1].atoms, 'relax to the same minimum')
    images = [ends[0].atoms, *(ends[0].atoms.copy() for _ in range(settings.num_images)), ends[1].atoms]
    band = NEB(images, k=settings.spring_constant, method='improvedtangent', allow_shared_calculator=True)
    band.interpolate(method='idpp', mic=True)
    for end in ends:  # they do not move: the shared calculator would compute their energies at every step
        end.atoms.calc = SinglePointCalculator(end.atoms, energy=end.energy, forces=np.zeros((len(end.atoms), 3)))
    for image in images[1:-1]:
        image.calc = calculator
    steps, force = _converge(band, settings, report)
    energies = np.array([image.get_potential_energy() for image in images])
    energies -= energies[0]
    clean = tuple(image.copy() for image in images)
    dips = np.flatnonzero(energies[1:-1] < np.minimum(energies[:-2], energies[2:]) - DIP) + 1
    return MinimumEnergyPath(clean, energies, _lengths(clean), force, steps, tuple(dips.tolist()))


def _converge(band: t.Any, settings: BandSettings, report: Report) -> tuple[int, float]:
    """Optimise the band, let it climb once it is near the path, and return the steps and the force reached."""
    from ase.optimize import FIRE

    steps, force = 0, float('inf')
    stages = [False, True] if settings.climb else [False]
    for climb in stages:
        band.climb = climb
        wanted = settings.max_force * (CLIMB_BELOW if climb != stages[-1] else 1.0)
        optimiser = FIRE(band, logfile=None, maxstep=0.1)
        for _ in optimiser.irun(fmax=wanted, steps=settings.max_steps - steps):
            force = float(np.linalg.norm(band.get_forces(), axis=1).max())
            if not np.isfinite(force):
                raise FloatingPointError('the potential gives forces along the path that are not finite')
            report('climbing band' if climb else 'band', {'force': force, 'barrier': band.emax - band.energies[0]})
        steps += int(optimiser.nsteps)
        if force > wanted:
            message = (
                f'the path still has a force of {force:.3g} eV/Å (wanted {wanted:g}) after {steps} steps; '
                f'its barrier so far is {band.emax - band.energies[0]:.3f} eV'
            )
            raise NotConvergedError(message, what='band')
    return steps, force


def _relax_end(atoms: Atoms, calculator: t.Any, settings: BandSettings, report: Report) -> Relaxed:
    relaxation = RelaxSettings(
        max_force=settings.max_force / 2, max_steps=settings.max_steps, keep_symmetry=False, max_stress=1.0
    )
    return relax(atoms, calculator, relaxation, freedom='atoms', report=report)


def _require_same_atoms(initial: Atoms, final: Atoms) -> None:
    if initial.get_chemical_symbols() != final.get_chemical_symbols():
        message = (
            f'the ends of a path need the same atoms in the same order: {initial.get_chemical_formula(mode="reduce")} '
            f'and {final.get_chemical_formula(mode="reduce")} differ'
        )
        raise InvalidInputError(message)
    if not np.allclose(initial.cell.array, final.cell.array, atol=1e-6):
        raise InvalidInputError('the ends of a path need the same cell')


def _require_a_move(initial: Atoms, final: Atoms, fault: str) -> None:
    moves = _moves(initial, final)
    if moves.max() < SMALLEST_MOVE:
        raise InvalidInputError(f'both ends of the path {fault}: no atom moves by more than {moves.max():.3f} Å')


def _moves(first: Atoms, second: Atoms) -> NDArray[np.float64]:
    """Return how far each atom is between two images, the nearest periodic image taken, shape (n,), Å."""
    from ase.geometry import find_mic

    _, lengths = find_mic(second.positions - first.positions, first.cell, pbc=True)
    return np.asarray(lengths, dtype=np.float64)


def _lengths(images: t.Sequence[Atoms]) -> NDArray[np.float64]:
    parts = [float(np.linalg.norm(_moves(first, second))) for first, second in itertools.pairwise(images)]
    return np.concatenate([[0.0], np.cumsum(parts)])
