"""Complete hulls: every stable phase of the Materials Project in a chemical system, at every level.

A phase whose crystal is in the library has the energy of that crystal at the level, relaxed as the candidates are. The
crystals of the others are not at hand: they have the energy of formation of the Materials Project, moved by the mean
difference of the compounds of the same system that have both. A hull without them would call crystals stable that are
not.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase
from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

Array = NDArray[np.float64]


def stable_phases(systems: Iterable[Sequence[str]]) -> list[dict[str, t.Any]]:
    """Return name, formula and energy of formation, eV/atom, of the stable compounds of the Materials Project."""
    found = {}
    for system in systems:
        for phase in ReferenceHull.default().phases(system):
            if len(phase.elements) > 1:
                formula = ''.join(f'{symbol}{amount:g}' for symbol, amount in phase.amounts.items())
                energy = round(float(phase.energy_per_atom), 5)
                found[str(phase.identifier)] = {'name': str(phase.identifier), 'formula': formula, 'energy': energy}
    return [found[name] for name in sorted(found)]


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known before a run, at one level.

    :param names: of m known crystals.
    :param formulas: of these.
    :param energies: of formation at the level, eV/atom, NaN where there is none, shape (m,).
    :param phases: name, formula and energy of formation, eV/atom, of all stable compounds.
    """

    names: Sequence[str]
    formulas: Sequence[str]
    energies: Array
    phases: Sequence[dict[str, t.Any]]

    def pairs(self, system: str) -> list[tuple[str, float, float]]:
        """Return formula, energy at the level and that of the Materials Project of what has both in a system."""
        computed = dict(zip(self.names, self.energies.tolist(), strict=True))
        return [
            (phase['formula'], computed[phase['name']], phase['energy'])
            for phase in self.phases
            if within(phase['formula'], system) and np.isfinite(computed.get(phase['name'], np.nan))
        ]

    def competing(self, system: str) -> list[Phase]:
        """Return all phases of a chemical system at the level.

        :raises InvalidInputError: if an element has no energy, or compounds lack crystals and none has one.
        """
        crystals = [
            Phase(parse_formula(formula), float(energy))
            for formula, energy in zip(self.formulas, self.energies, strict=True)
            if np.isfinite(energy) and within(formula, system)
        ]
        if missing := set(system.split('-')) - {phase.elements[0] for phase in crystals if len(phase.elements) == 1}:
            raise InvalidInputError(f'no crystal of {", ".join(sorted(missing))} for the hull of {system}')
        computed = {name for name, energy in zip(self.names, self.energies, strict=True) if np.isfinite(energy)}
        others = [each for each in self.phases if within(each['formula'], system) and each['name'] not in computed]
        if not others:
            return crystals
        both = self.pairs(system)
        if not both:
            raise InvalidInputError(f'no stable compound of {system} has a crystal')
        move = float(np.mean([mine - theirs for _, mine, theirs in both]))
        return crystals + [Phase(parse_formula(each['formula']), each['energy'] + move) for each in others]

    def moved_errors(self, system: str) -> list[float]:
        """Return errors of moved energies, eV/atom: of each compound with both, moved by the mean of the others."""
        differences = np.array([mine - theirs for _, mine, theirs in self.pairs(system)])
        if len(differences) < 2:
            return []
        others = (differences.sum() - differences) / (len(differences) - 1)
        return t.cast('list[float]', (differences - others).tolist())


def within(formula: str, system: str) -> bool:
    """Return whether a formula has elements of a chemical system alone."""
    return parse_formula(formula).keys() <= set(system.split('-'))


def distances(formulas: Sequence[str], systems: Sequence[str], energies: Array, known: Known) -> Array:
    """Return the distance of candidates to the complete hull, negative below it, NaN without energy, eV/atom, (n,)."""
    found = np.full(len(formulas), np.nan)
    for system in sorted(set(systems)):
        rows = [row for row in np.flatnonzero(np.isfinite(energies)) if systems[row] == system]
        own = [Phase(parse_formula(formulas[row]), float(energies[row])) for row in rows]
        competing = CompetingPhases(known.competing(system))
        for row, result in zip(rows, distances_to_hull(own, competing), strict=True):
            found[row] = np.nan if result.decomposition_energy is None else result.decomposition_energy
    return found
