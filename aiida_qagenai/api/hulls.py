"""Structures on the hull that comes with the package, with each other in it."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.crystals import AnyCrystals
    from aiida_qagenai.thermodynamics.hull.relaxed import Placed

__all__ = ('OnHull', 'draw_hull', 'place_on_hull')


class OnHull(t.NamedTuple):
    """Where a structure stands.

    :param formation_energy_per_atom: on the scale of the hull, eV/atom.
    :param e_above_hull: eV/atom; ``None`` where ``reason`` says why.
    :param decomposition: formula → fraction of the atoms of the phases that it competes with.
    :param stability: class of Table 2 of the paper.
    """

    name: str
    structure: Structure
    formation_energy_per_atom: float | None
    e_above_hull: float | None
    decomposition: dict[str, float]
    stability: str | None
    reason: str


def place_on_hull(
    structures: AnyCrystals,
    formation_energies_per_atom: Sequence[float | None] | None = None,
    *,
    min_references: int | None = None,
) -> list[OnHull]:
    """Return the distances of structures to the hull of the stable phases of the Materials Project and of each other.

    :param structures: what :func:`~aiida_qagenai.api.relaxation.relax` returned, with the energies of a potential whose
        level is that of the hull (one that did not converge gets no distance); or with the next argument any kind, see
        :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param formation_energies_per_atom: of each, eV/atom, PBE(+U) with the corrections MP2020; ``None`` if unknown.
    :param min_references: fewest known phases of a chemical system for a distance; 12 by default, 0 never abstains.
    :raises InvalidInputError: if there is no energy for each structure, or energies are of another level than the hull.
    """
    from aiida_qagenai.exchange.crystals import listed, named_crystals
    from aiida_qagenai.thermodynamics.hull.convex_hull import MINIMUM_REFERENCES
    from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed

    given = listed(structures)
    items = named_crystals(given)
    energies, of_formation = list(formation_energies_per_atom or ()), True
    reasons = [''] * len(items)
    if formation_energies_per_atom is None:
        energies, reasons, of_formation = _energies(given)
    if len(energies) != len(items):
        raise InvalidInputError(f'{len(energies)} energies for {len(items)} structures')
    placed = place_relaxed(
        [amounts(item.structure) for item in items],
        energies,
        of_formation=of_formation,
        min_references=MINIMUM_REFERENCES if min_references is None else min_references,
    )
    return [
        _on_hull(item.name, item.structure, each, reason)
        for item, each, reason in zip(items, placed, reasons, strict=True)
    ]


def amounts(structure: Structure) -> dict[str, int]:
    """Return element → number of atoms in the cell."""
    return {symbol: round(number) for symbol, number in structure.composition.get_el_amt_dict().items()}


def _energies(relaxed: Sequence[t.Any]) -> tuple[list[float | None], list[str], bool]:
    """Return the energies of relaxed structures, why there is none, and whether they are of formation.

    :raises InvalidInputError: if they are not relaxed structures, or of levels that the hull does not have.
    """
    from aiida_qagenai.thermodynamics.hull.reference import ABOUT
    from aiida_qagenai.thermodynamics.references.mp_elements import FORMATION_LEVELS
    from aiida_qagenai.thermodynamics.references.mp_elements import LEVELS as TOTAL_LEVELS

    if not all(hasattr(each, 'energy_per_atom') and hasattr(each, 'level') for each in relaxed):
        message = 'structures alone have no energies: give what `relax` returned, or `formation_energies_per_atom`'
        raise InvalidInputError(message)
    levels = {each.level for each in relaxed}
    known = [group for group in (FORMATION_LEVELS, TOTAL_LEVELS) if levels <= set(group)]
    if not known:
        message = f'the energies are of the level {", ".join(sorted(levels))}, and the hull of the package has {ABOUT}'
        raise InvalidInputError(f'{message}: levels never meet in one hull')
    energies = [each.energy_per_atom if each.converged else None for each in relaxed]
    return energies, [each.reason for each in relaxed], known[0] is FORMATION_LEVELS


def _on_hull(name: str, structure: Structure, placed: Placed, reason: str) -> OnHull:
    result = placed.result
    return OnHull(
        name=name,
        structure=structure,
        formation_energy_per_atom=placed.formation_energy_per_atom,
        e_above_hull=placed.e_above_hull,
        decomposition=dict(result.decomposition) if result is not None else {},
        stability=None if result is None else str(result.stability),
        reason=reason or placed.reason,
    )


def draw_hull(placed: Sequence[OnHull], elements: Sequence[str] | None = None) -> Figure:
    """Return the hull of a system of two to four elements with structures in it, as a figure of matplotlib.

    :param placed: of :func:`place_on_hull`; those without a formation energy are left out.
    :param elements: of the system; by default all elements of the structures.
    :raises InvalidInputError: for another number of elements, or if no structure has an energy.
    """
    from aiida_qagenai.thermodynamics.hull.convex_hull import Phase
    from aiida_qagenai.thermodynamics.hull.plots import draw_hull as draw
    from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull

    found = [
        Phase(amounts(each.structure), each.formation_energy_per_atom, level=SCALE)
        for each in placed
        if each.formation_energy_per_atom is not None
    ]
    system = sorted(elements or {symbol for phase in found for symbol in phase.elements})
    if not found or not 2 <= len(system) <= 4:
        message = f'a hull is drawn of structures with energies in two to four elements, not of {", ".join(system)}'
        raise InvalidInputError(message)
    zeros = [Phase(symbol, 0.0, level=SCALE) for symbol in system]
    known = [*ReferenceHull.default().competing([system]).phases, *zeros]
    return draw(known, [phase for phase in found if set(phase.elements) <= set(system)], system)
