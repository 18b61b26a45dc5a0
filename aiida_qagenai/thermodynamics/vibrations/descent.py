"""Relaxation of one crystal as a descent that others evaluate: many descents share each call of a potential.

torch-sim moves batches too, but its release for Python 3.11 keeps no symmetry and cannot report one structure of a
batch and go on with the others. With a fast potential most of the time of a relaxation by ASE goes into its filters and
constraints. L-BFGS with cell and atoms on one scale needs fewer evaluations than BFGS in ASE's coordinates
(``benchmarks/validator.py`` counts them).
"""

from __future__ import annotations

import contextlib
from collections import deque

import numpy as np
import spglib
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

__all__ = ('Descent', 'Symmetry')

Array = NDArray[np.float64]
PRECISION = 0.01
"""Tolerance of the symmetry that is kept, Å: that of ASE's ``FixSymmetry``."""


class Symmetry:
    """The space group of a crystal as projections of forces and stresses.

    :raises InvalidInputError: if no symmetry is found, or its operations do not map the atoms onto each other.
    """

    def __init__(self, cell: Array, species: NDArray[np.int64], fractional: Array) -> None:
        found = None
        with contextlib.suppress(Exception):  # some releases raise, others return None
            found = spglib.get_symmetry_dataset((cell, fractional, species), symprec=PRECISION)
        if found is None:
            raise InvalidInputError('its symmetry cannot be found: relax it without keeping the symmetry')
        # Rows: fractional coordinates x become x Rᵀ + t, positions become r Q.
        turned = np.linalg.inv(cell) @ found.rotations.transpose(0, 2, 1) @ cell
        left, _, right = np.linalg.svd(turned)
        self.rotations: Array = left @ right
        images = np.einsum('gab,ib->gia', found.rotations, fractional) + found.translations[:, None]
        apart = images[:, :, None] - fractional
        apart = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=3)
        apart[:, species[:, None] != species] = np.inf
        self.images = apart.argmin(axis=2)
        if (np.sort(self.images, axis=1) != np.arange(len(species))).any():
            raise InvalidInputError('its symmetry does not map its atoms: relax it without keeping the symmetry')

    def forces(self, forces: Array) -> Array:
        """Return the part of ``forces``, shape (n, 3), that keeps the symmetry."""
        turned = forces @ self.rotations
        kept = np.zeros_like(forces)
        np.add.at(kept, self.images, turned)
        return kept / len(self.rotations)

    def stress(self, stress: Array) -> Array:
        """Return the part of ``stress``, shape (3, 3), that keeps the symmetry."""
        kept: Array = (self.rotations.transpose(0, 2, 1) @ stress @ self.rotations).mean(axis=0)
        return kept


class Descent:
    """A crystal on its way to a minimum of the energy in cell and atoms, by L-BFGS.

    The coordinates are the positions in the frame of the first cell and the deformation F of that frame, times the root
    of the number of atoms, which makes the curvatures of both alike: r = r₀ Fᵀ, dE/dr₀ = −f F, dE/dF = V σ F⁻ᵀ.

    :param fixed_cell: move the atoms only.
    :ivar steps: steps taken so far.
    :ivar force: largest force on an atom at the last evaluation, eV/Å.
    :ivar stress: largest component of the stress at the last evaluation, eV/Å3.
    :ivar tensor: stress at the last evaluation, shape (3, 3), eV/Å3.
    :ivar problem: why the descent cannot go on, empty if it can.
    """

    MEMORY = 20
    STIFFNESS = 70.0
    """Curvature that is assumed before the first step, eV/Å2: that of ASE's optimisers."""
    LONGEST_STEP = 0.1
    """Longest step of an atom, and of a row of the scaled deformation, Å."""
    LARGEST_CHANGE = 20.0
    """Factor by which the volume may grow or shrink: beyond that, a crystal has exploded or collapsed."""

    def __init__(
        self,
        cell: Array,
        species: NDArray[np.int64],
        fractional: Array,
        settings: RelaxSettings,
        *,
        fixed_cell: bool = False,
    ) -> None:
        self._symmetry = Symmetry(cell, species, fractional) if settings.keep_symmetry else None
        self._settings = settings
        self._fixed_cell = fixed_cell
        self._cell = np.array(cell, dtype=np.float64)
        self._scale = np.sqrt(len(species))
        self._point = np.concatenate([fractional @ cell, self._scale * np.eye(3)])
        self._pairs: deque[tuple[Array, Array, float]] = deque(maxlen=self.MEMORY)
        self._last: tuple[Array, Array] | None = None
        self.steps = 0
        self.problem = ''
        self.energy = self.force = self.stress = float('nan')
        self.tensor: Array = np.full((3, 3), np.nan)

    @property
    def cell(self) -> Array:
        """Return the lattice vectors as rows, shape (3, 3), Å."""
        cell: Array = self._cell @ self._deformation.T
        return cell

    @property
    def fractional(self) -> Array:
        """Return the fractional coordinates, shape (n, 3)."""
        fractional: Array = np.linalg.solve(self._cell.T, self._point[:-3].T).T
        return fractional

    @property
    def converged(self) -> bool:
        """Return whether forces, and stress unless the cell is fixed, were small enough at the last evaluation."""
        relaxed = self._fixed_cell or self.stress <= self._settings.max_stress
        return self.force <= self._settings.max_force and relaxed

    @property
    def _deformation(self) -> Array:
        return self._point[-3:] / self._scale

    def advance(self, energy: float, forces: Array, stress: Array) -> bool:
        """Take note of an evaluation of the present crystal, and step unless that ends the descent.

        :param energy: eV.
        :param forces: shape (n, 3), eV/Å.
        :param stress: (1/V) dE/dε, shape (3, 3), eV/Å3.
        :returns: whether the descent goes on: the crystal has moved and is to be evaluated.
        """
        if self._symmetry is not None:
            forces, stress = self._symmetry.forces(forces), self._symmetry.stress(stress)
        self.energy = energy
        self.force = float(np.linalg.norm(forces, axis=1).max())
        self.stress = float(np.abs(stress).max())
        self.tensor = stress
        if self.converged or self.steps == self._settings.max_steps:
            return False
        self._move(self._gradient(forces, stress))
        self.steps += 1
        change = float(np.linalg.det(self._deformation))
        if not np.isfinite(self._point).all():
            self.problem = 'the positions are not finite'
        elif not 1 / self.LARGEST_CHANGE < change < self.LARGEST_CHANGE:
            self.problem = f'the volume became {change:.3g} times that of the start: the crystal is not stable'
        return not self.problem

    def _gradient(self, forces: Array, stress: Array) -> Array:
        """Return the derivative of the energy with respect to the coordinates, shape (n + 3, 3)."""
        if self._fixed_cell:
            return np.concatenate([-forces, np.zeros((3, 3))])
        deformation = self._deformation
        volume = abs(np.linalg.det(self.cell))
        by_deformation = volume * stress @ np.linalg.inv(deformation).T
        return np.concatenate([-forces @ deformation, by_deformation / self._scale])

    def _move(self, gradient: Array) -> None:
        """Step along the direction that the last steps suggest (J. Nocedal, Math. Comp. 35, 773 (1980))."""
        if self._last is not None:
            step, change = self._point - self._last[0], gradient - self._last[1]
            curvature = float((step * change).sum())
            # A step along which the energy curves down says nothing about the minimum.
            if curvature > 1e-10:
                self._pairs.append((step, change, 1 / curvature))
        direction, weights = -gradient, []
        for step, change, inverse in reversed(self._pairs):
            weights.append(inverse * float((step * direction).sum()))
            direction = direction - weights[-1] * change
        direction = direction / self.STIFFNESS
        for (step, change, inverse), weight in zip(self._pairs, reversed(weights), strict=True):
            direction = direction + (weight - inverse * float((change * direction).sum())) * step
        longest = float(np.linalg.norm(direction, axis=1).max())
        self._last = (self._point, gradient)
        self._point = self._point + direction * min(1.0, self.LONGEST_STEP / longest)
