"""Phases with energies, and an index of many of them by chemical system."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing as t
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.chemistry.formula import parse_formula, reduced_formula
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('CompetingPhases', 'Phase', 'System')

SAME_ENERGY = 1e-6
"""Largest difference in energy between two rows of one phase, eV/atom."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase with one energy.

    :param formula: formula or element → amount.
    :param energy_per_atom: formation energy, or total energy if every phase has that, eV/atom.
    :param identifier: a name or uuid; a candidate does not compete with itself among the known phases, see
        :meth:`CompetingPhases.same_phase`.
    :param level: level of theory; a hull never mixes two.
    :param sigma: standard deviation of the energy, eV/atom.
    """

    formula: str | t.Mapping[str, float]
    energy_per_atom: float
    identifier: str | None = None
    level: str | None = None
    sigma: float = 0.0

    def __post_init__(self) -> None:
        amounts = parse_formula(self.formula)
        if not math.isfinite(self.energy_per_atom):
            message = f'the energy of `{self.identifier or self.formula}` is {self.energy_per_atom}: it must be finite'
            raise InvalidInputError(message)
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            message = f'the sigma of `{self.identifier or self.formula}` must be a number >= 0, not {self.sigma}'
            raise InvalidInputError(message)
        object.__setattr__(self, '_amounts', amounts)

    @property
    def amounts(self) -> dict[str, float]:
        """Return element → amount, sorted by atomic number."""
        return t.cast(dict[str, float], self.__dict__['_amounts'])

    @property
    def elements(self) -> tuple[str, ...]:
        """Return the elements, sorted by atomic number."""
        return tuple(self.amounts)

    @property
    def reduced_formula(self) -> str:
        """Return pymatgen's reduced formula."""
        return reduced_formula(self.amounts)


@dataclasses.dataclass(frozen=True)
class System:
    """All phases within one chemical system, as arrays.

    :param elements: sorted by atomic number.
    :param fractions: atomic fractions, shape (k, m).
    :param energies: eV/atom, shape (m,).
    :param sigmas: eV/atom, shape (m,).
    :param indices: index of each phase in the list of its ``CompetingPhases``, −1 for an implied element, shape (m,).
    :param missing: elements without a phase, then subsystems without a compound, such as ``Mn-P``.
    """

    elements: tuple[str, ...]
    fractions: NDArray[np.float64]
    energies: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    indices: NDArray[np.int64]
    missing: tuple[str, ...] = ()

    @functools.cached_property
    def num_references(self) -> int:
        """Return the number of distinct compositions: polymorphs count once, and so does an element that is implied."""
        return int(np.unique(np.round(self.fractions, 9), axis=1).shape[1])

    def target(self, phase: Phase) -> NDArray[np.float64]:
        """Return the atomic fractions of ``phase`` over ``elements``, shape (k,)."""
        amounts = np.array([phase.amounts[element] for element in self.elements])
        return t.cast(NDArray[np.float64], amounts / amounts.sum())


def _same_composition(first: Phase, second: Phase) -> bool:
    if first.elements != second.elements:
        return False
    one, other = np.array(list(first.amounts.values())), np.array(list(second.amounts.values()))
    return bool(np.allclose(one / one.sum(), other / other.sum(), rtol=0, atol=1e-6))


def _is_ambiguous(phase: Phase) -> bool:
    """Return whether the identifier of a phase is a number or a formula, which other phases may have as well."""
    text = str(phase.identifier).strip()
    if text.lstrip('#-').replace('.', '', 1).isdigit():
        return True
    try:
        parse_formula(text)
    except InvalidInputError:
        return False
    return True


class CompetingPhases:
    """Known phases, grouped by their elements, with one cached :class:`System` per chemical system asked for.

    :param phases: all at one level of theory.
    :param elements_at_zero: whether each pure element is implied at 0 eV/atom, as formation energies mean it.
    :raises InvalidInputError: if levels of theory are mixed.
    """

    def __init__(self, phases: Iterable[Phase] = (), *, elements_at_zero: bool = False) -> None:
        self.elements_at_zero = elements_at_zero
        self.phases: list[Phase] = []
        self._groups: dict[frozenset[str], list[int]] = {}
        self._identifiers: dict[str, list[int]] = {}
        self._packed: dict[frozenset[str], System] = {}
        self._systems: dict[frozenset[str], System] = {}
        self._level: str | None = None
        for phase in phases:
            self.add(phase)

    def __len__(self) -> int:
        return len(self.phases)

    def add(self, phase: Phase) -> None:
        """Add one phase; only cached systems that contain it are forgotten.

        :raises InvalidInputError: if it has another level of theory than those already here.
        """
        self.require_level(phase)
        self._level = phase.level
        index = len(self.phases)
        self.phases.append(phase)
        group = frozenset(phase.amounts)
        self._groups.setdefault(group, []).append(index)
        if phase.identifier is not None:
            self._identifiers.setdefault(phase.identifier, []).append(index)
        self._packed.pop(group, None)
        for key in [key for key in self._systems if group <= key]:
            del self._systems[key]

    def require_level(self, phase: Phase) -> None:
        """Check that ``phase`` has the level of theory of the phases here.

        :raises InvalidInputError: if not.
        """
        if self.phases and phase.level != self._level:
            message = (
                f'`{phase.identifier or phase.formula}` has the level of theory {phase.level!r} and the competing '
                f'phases have {self._level!r}: a hull needs all energies at one level'
            )
            raise InvalidInputError(message)

    def rivals(self, candidate: Phase) -> System:
        """Return all phases that compete with ``candidate``: its chemical system without the candidate itself.

        :raises InvalidInputError: if its level of theory is another one.
        """
        self.require_level(candidate)
        system = self.system(candidate.amounts)
        own = self.same_phase(candidate)
        if not own:
            return system
        keep = ~np.isin(system.indices, own)
        missing = system.missing
        implied = self.elements_at_zero and len(system.elements) == 1
        if set(self._groups.get(frozenset(candidate.amounts), own)) <= set(own) and not implied:
            missing = tuple(dict.fromkeys((*missing, '-'.join(sorted(system.elements)))))
        columns = {name: getattr(system, name)[..., keep] for name in ('fractions', 'energies', 'sigmas', 'indices')}
        return dataclasses.replace(system, missing=missing, **columns)

    def same_phase(self, candidate: Phase) -> list[int]:
        """Return the indices of the phases with the identifier and composition of the candidate: the candidate itself.

        A row number, a formula, or an identifier of several phases does not tell phases apart, so that the energy has
        to agree as well.
        """
        if candidate.identifier is None:
            return []
        named = self._identifiers.get(candidate.identifier, [])
        own = [index for index in named if _same_composition(self.phases[index], candidate)]
        if len(named) == 1 and not _is_ambiguous(candidate):
            return own
        energy = candidate.energy_per_atom
        return [index for index in own if abs(self.phases[index].energy_per_atom - energy) <= SAME_ENERGY]

    def system(self, elements: Iterable[str]) -> System:
        """Return all phases whose elements are among ``elements``, from the cache where possible."""
        key = frozenset(elements)
        if key not in self._systems:
            self._systems[key] = self._build(tuple(sorted(key, key=ATOMIC_NUMBERS.__getitem__)))
        return self._systems[key]

    def _build(self, elements: tuple[str, ...]) -> System:
        parts: list[System] = []
        missing: list[str] = []
        for size in range(1, len(elements) + 1):
            for subset in itertools.combinations(elements, size):
                key = frozenset(subset)
                if key in self._groups:
                    parts.append(self._group(key))
                elif size > 1 or not self.elements_at_zero:
                    missing.append('-'.join(sorted(subset)))
        if self.elements_at_zero:
            zeros, nowhere = np.zeros(len(elements)), np.full(len(elements), -1, dtype=np.int64)
            parts.append(System(elements, np.eye(len(elements)), zeros, zeros, nowhere))
        row = {element: i for i, element in enumerate(elements)}
        fractions = np.zeros((len(elements), sum(len(part.energies) for part in parts)))
        start = 0
        for part in parts:
            stop = start + len(part.energies)
            fractions[[row[element] for element in part.elements], start:stop] = part.fractions
            start = stop
        energies = np.concatenate([np.zeros(0), *(part.energies for part in parts)])
        sigmas = np.concatenate([np.zeros(0), *(part.sigmas for part in parts)])
        indices = np.concatenate([np.zeros(0, dtype=np.int64), *(part.indices for part in parts)])
        return System(elements, fractions, energies, sigmas, indices, tuple(missing))

    def _group(self, key: frozenset[str]) -> System:
        """Return the phases with exactly these elements as arrays, packed once and shared by all systems."""
        if key not in self._packed:
            members = [self.phases[index] for index in self._groups[key]]
            amounts = np.array([list(member.amounts.values()) for member in members]).T
            self._packed[key] = System(
                elements=members[0].elements,
                fractions=amounts / amounts.sum(axis=0),
                energies=np.array([member.energy_per_atom for member in members]),
                sigmas=np.array([member.sigma for member in members]),
                indices=np.array(self._groups[key], dtype=np.int64),
            )
        return self._packed[key]
