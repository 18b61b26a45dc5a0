"""Relaxed crystals on the hull that comes with the package, with each other in it."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from aiida_qagenai.thermodynamics.hull.convex_hull import MINIMUM_REFERENCES, HullResult, Phase, distances_to_hull
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull
from aiida_qagenai.thermodynamics.references.mp_elements import formation_energy_per_atom

__all__ = ('Placed', 'place_relaxed')


class Placed(t.NamedTuple):
    """Where a relaxed crystal stands.

    :param formation_energy_per_atom: on the scale MP2020, eV/atom; ``None`` where there is no energy or no reference.
    :param e_above_hull: eV/atom; ``None`` where ``reason`` says why.
    """

    formation_energy_per_atom: float | None
    e_above_hull: float | None
    reason: str
    result: HullResult | None = None


def place_relaxed(
    compositions: Sequence[Mapping[str, int]],
    energies_per_atom: Sequence[float | None],
    *,
    of_formation: bool = False,
    hull: ReferenceHull | None = None,
    min_references: int = MINIMUM_REFERENCES,
) -> list[Placed]:
    """Return where crystals stand on the hull of the known phases and of all these crystals.

    :param compositions: element → number of atoms.
    :param energies_per_atom: by a potential on the scale of the hull (``mp_elements.POTENTIALS``), eV/atom; ``None``
        for a crystal without an energy that can be used.
    :param of_formation: whether these are formation energies already (``mp_elements.FORMATION_LEVELS``).
    :param hull: that of the package if ``None``.
    :param min_references: fewest known phases of a chemical system, see ``convex_hull.abstention``.
    """
    hull = hull or ReferenceHull.default()
    formation = [
        energy if energy is None or of_formation else formation_energy_per_atom(energy, composition)
        for energy, composition in zip(energies_per_atom, compositions, strict=True)
    ]
    phases = {
        index: Phase(compositions[index], energy, level=SCALE)
        for index, energy in enumerate(formation)
        if energy is not None
    }
    competing = hull.competing(phase.elements for phase in phases.values())
    results = distances_to_hull(
        list(phases.values()), competing, candidates_compete=True, min_references=min_references
    )
    placed = dict(zip(phases, results, strict=True))
    found = []
    for index, (energy, result) in enumerate(
        zip(energies_per_atom, map(placed.get, range(len(formation))), strict=True)
    ):
        if result is not None:
            found.append(Placed(formation[index], result.e_above_hull, result.reason, result))
        else:
            found.append(Placed(None, None, '' if energy is None else 'an element has no reference energy'))
    return found
