"""Crystals of bare elements: what a file says of a species beside its element changes no crystal."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('plain_structure',)


def plain_structure(structure: Structure) -> Structure:
    """Return ``structure`` with elements as species: no oxidation states, no spins, no isotopes.

    The structure itself is returned where nothing has to change. Dummy species, which are not elements, stay.
    """
    from pymatgen.core import Element, Structure

    names = {species: _element_name(species) for species in structure.composition}
    if all(name is None for name in names.values()):
        return structure
    elements = {species: species if name is None else Element(name) for species, name in names.items()}
    shares: list[dict[t.Any, float]] = []
    for site in structure:
        share: dict[t.Any, float] = {}
        for species, amount in site.species.items():
            share[elements[species]] = share.get(elements[species], 0.0) + amount
        shares.append(share)
    return Structure(structure.lattice, shares, structure.frac_coords, site_properties=structure.site_properties)


def _element_name(species: t.Any) -> str | None:
    """Return the symbol of the element that stands for a species, or ``None`` where the species may stay."""
    from pymatgen.core import DummySpecies, Element

    if isinstance(species, DummySpecies):
        return None
    if isinstance(species, Element) and species.symbol not in {'D', 'T'}:
        return None
    return 'H' if species.symbol in {'D', 'T'} else str(species.symbol)
