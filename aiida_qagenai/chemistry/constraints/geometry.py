"""Constraints on cell and positions alone: volume, density, distances, dimensionality and symmetry (paper Table 1)."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Sequence

import numpy as np

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.geometry import fragments
from aiida_qagenai.chemistry.radii import CONTACT_LENGTHS, SPHERE_RADII
from aiida_qagenai.chemistry.symmetry import TOLERANCES, space_group
from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'GENERATION_ALPHA',
    'VALIDATION_ALPHA',
    'Density',
    'Dimensionality',
    'MinimumDistance',
    'Symmetry',
    'VolumePerAtom',
    'bonded_dimensionality',
)

GENERATION_ALPHA = 0.7
VALIDATION_ALPHA = 0.8

SEARCH_RATIO = 1.3
"""Distances are searched up to this many contact lengths; the value saturates there."""

BOND_RATIO = 1.25
"""Atoms closer than this many sums of their covalent radii are bonded: layers of chalcogenides are farther apart."""


class _Window:
    """A constraint whose value lies between two limits."""

    name: str
    stages: tuple[Stage, ...] = ('generation', 'validation', 'final')
    faults: tuple[str, str]
    zero_accepted = False

    def __init__(self, minimum: float, maximum: float) -> None:
        if not 0 <= minimum < maximum or not (minimum or self.zero_accepted):
            relation = '<=' if self.zero_accepted else '<'
            message = f'the window must satisfy 0 {relation} minimum < maximum, not {minimum} and {maximum}'
            raise InvalidInputError(message)
        self.minimum = minimum
        self.maximum = maximum

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on a crystal."""
        value = self.measure(crystal)
        if value > self.maximum:
            return Verdict(self.name, value, self.maximum, 'fail', stage, self.faults[1])
        if value < self.minimum:
            return Verdict(self.name, value, self.minimum, 'fail', stage, self.faults[0])
        return Verdict(self.name, value, self.minimum, 'pass', stage)

    def measure(self, crystal: Crystal) -> float:
        """Return the value."""
        raise NotImplementedError


class VolumePerAtom(_Window):
    """The volume of the cell in units of the volume of its covalent spheres lies in a window.

    The value is V / Σ (4π/3) r_i³, where hydrogen has the radius of oxygen. Close-packed metals have about 1.0–1.4,
    most oxides 2–5 and molecular crystals (H2, N2, CH4) 8–18.

    :param minimum: smallest accepted ratio.
    :param maximum: largest accepted ratio; three quarters of the way to it is vacuum.
    """

    name = 'volume_per_atom'
    faults = ('too dense', 'too empty')

    def __init__(self, minimum: float = 0.4, maximum: float = 20.0) -> None:
        super().__init__(minimum, maximum)

    def measure(self, crystal: Crystal) -> float:
        radii = np.array([SPHERE_RADII[int(number)] for number in crystal.numbers])
        return float(crystal.volume / (4 / 3 * np.pi * (radii**3).sum()))


class Density(_Window):
    """The mass density lies in a window, where a user asks for one; the value is in g/cm³.

    :param minimum: smallest accepted density, g/cm³.
    :param maximum: largest accepted density, g/cm³; osmium has 22.6.
    """

    name = 'density'
    faults = ('too light', 'too heavy')
    zero_accepted = True

    def __init__(self, minimum: float = 0.05, maximum: float = 25.0) -> None:
        super().__init__(minimum, maximum)

    def measure(self, crystal: Crystal) -> float:
        return float(crystal.structure.density)


class MinimumDistance:
    """d_ij ≥ α l_ij for all pairs, self-images included (paper section 3.2.1).

    The contact length l_ij is r_i + r_j, the sum of the single-bond radii of Pyykkö and Atsumi, and less for pairs that
    form multiple bonds (N≡N, C≡C, C≡N, U=O; see :data:`~aiida_qagenai.chemistry.radii.CONTACT_LENGTHS`). The value is
    the smallest d_ij / l_ij, at most ``SEARCH_RATIO``.

    :param alpha: the threshold; by default 0.7 while generating and 0.8 afterwards.
    """

    name = 'minimum_distance'
    stages: tuple[Stage, ...] = ('generation', 'validation', 'final')

    def __init__(self, alpha: float | None = None) -> None:
        if alpha is not None and not 0 < alpha <= SEARCH_RATIO:
            raise InvalidInputError(f'alpha must lie in (0, {SEARCH_RATIO}], not {alpha}')
        self.alpha = alpha

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the closest contact."""
        alpha = self.alpha or (GENERATION_ALPHA if stage == 'generation' else VALIDATION_ALPHA)
        first, second, _, distance = crystal.neighbors
        ratios = distance / CONTACT_LENGTHS[crystal.numbers[first], crystal.numbers[second]]
        closest = int(ratios.argmin()) if len(ratios) else -1
        value = min(float(ratios[closest]), SEARCH_RATIO) if len(ratios) else SEARCH_RATIO
        if value >= alpha:
            return Verdict(self.name, value, alpha, 'pass', stage)
        i, j = int(first[closest]), int(second[closest])
        reason = f'{crystal.symbols[i]}{i}–{crystal.symbols[j]}{j} are {distance[closest]:.3f} Å apart'
        return Verdict(self.name, value, alpha, 'fail', stage, reason)


class Dimensionality:
    """The bonded network of highest dimension extends in an accepted number of directions; the value is that number.

    0 for molecules, 1 for chains, 2 for layers, 3 for frameworks: for users who ask for one of them.

    :param accepted: accepted numbers.
    """

    name = 'dimensionality'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, accepted: Collection[int] = (3,)) -> None:
        if not accepted or not set(accepted) <= {0, 1, 2, 3}:
            raise InvalidInputError(f'accepted dimensionalities must be among 0, 1, 2 and 3, not {tuple(accepted)}')
        self.accepted = frozenset(accepted)

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the bonded network."""
        value = bonded_dimensionality(crystal)
        wanted = ' or '.join(map(str, sorted(self.accepted)))
        return Verdict(self.name, value, None, 'pass' if value in self.accepted else 'fail', stage, f'wanted {wanted}')


def bonded_dimensionality(crystal: Crystal) -> int:
    """Return in how many independent directions the most extended bonded network repeats."""
    bonds = crystal.neighbors.where(crystal.contacts(BOND_RATIO))
    return max(fragment.dimension for fragment in fragments(range(len(crystal)), bonds))


class Symmetry:
    """spglib can name the space group; the value is its number at the first tolerance with a consistent answer.

    :param minimum_number: smallest accepted number; 1 accepts every crystal whose symmetry can be determined.
    :param tolerances: distance tolerances in the order tried, Å.
    """

    name = 'symmetry'
    stages: tuple[Stage, ...] = ('validation', 'final')

    def __init__(self, minimum_number: int = 1, tolerances: Sequence[float] = TOLERANCES) -> None:
        self.minimum_number = minimum_number
        self.tolerances = tuple(tolerances)

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the space group."""
        found = space_group(crystal.structure, self.tolerances)
        if found.number is None:
            return Verdict(self.name, None, self.minimum_number, 'fail', stage, found.failure or '')
        verdict: t.Literal['pass', 'fail'] = 'pass' if found.number >= self.minimum_number else 'fail'
        return Verdict(
            self.name, found.number, self.minimum_number, verdict, stage, f'{found.symbol} at {found.tolerance} Å'
        )
