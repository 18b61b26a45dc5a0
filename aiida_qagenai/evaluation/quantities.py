"""Quantities that an inverse design can ask for: before anything is computed, and of what was computed."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from pymatgen.core import Composition

from aiida_qagenai.common.properties import QUANTITIES
from aiida_qagenai.thermodynamics.hull.relaxed import Placed, place_relaxed

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('amounts_of', 'anticipated', 'needs_energies', 'obtained')

OF_HULL = ('formation_energy', 'e_above_hull')

TENSOR = {
    'bulk_modulus': 'bulk_modulus_vrh',
    'shear_modulus': 'shear_modulus_vrh',
    'young_modulus': 'young_modulus',
    'poisson_ratio': 'poisson_ratio',
    'universal_anisotropy': 'universal_anisotropy',
}
"""Quantity → what the elastic tensor calls it."""

DENSITY = 1.66053906660
"""Density of one atomic mass unit in 1 Å3, g/cm3."""


def needs_energies(name: str) -> bool:
    """Return whether a quantity is anticipated from the formation energy that the validator predicts."""
    return name in OF_HULL


def anticipated(
    name: str, structures: Sequence[Structure], said: Sequence[Mapping[str, float]]
) -> list[float] | list[None]:
    """Return a quantity of proposals before anything is computed, None where nothing predicts it.

    Young's modulus, Poisson's and Pugh's ratio follow from the two moduli of the heads, density and volume from the
    proposals as they are, and energies from the validator. Nothing predicts the anisotropy, and what functions say.

    :param said: of each by the heads, and ``formation_energy`` (eV/atom) where :func:`needs_energies`.
    """
    if name == 'universal_anisotropy' or name not in QUANTITIES:
        return [None] * len(structures)
    if name == 'e_above_hull':
        amounts = [amounts_of(each.composition) for each in structures]
        energies = [each['formation_energy'] for each in said]
        placed = place_relaxed(amounts, energies, of_formation=True, min_references=0)
        # without a hull a proposal is as far from it as can be
        return [float('inf') if each.e_above_hull is None else each.e_above_hull for each in placed]
    return [_anticipated(name, *pair) for pair in zip(structures, said, strict=True)]


def _anticipated(name: str, structure: Structure, said: Mapping[str, float]) -> float:
    if name == 'density':
        return float(structure.density)
    if name == 'volume_per_atom':
        return float(structure.volume) / len(structure)
    if name in said:
        return said[name]
    bulk, shear = said['bulk_modulus'], said['shear_modulus']
    return {
        'young_modulus': 9 * bulk * shear / (3 * bulk + shear),
        'poisson_ratio': (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear)),
        'pugh_ratio': shear / bulk,
    }[name]


def obtained(
    name: str, figures: Mapping[str, t.Any], composition: Mapping[str, int], placed: Placed | None
) -> float | None:
    """Return a quantity of a crystal that was computed, None where it has none.

    :param figures: of the elastic tensor and the relaxed crystal, by the names of ``ElasticData``.
    :param composition: element → number of atoms, of any amount of the crystal.
    :param placed: where the relaxed crystal stands, None if its energies have no place on the hull.
    """
    if name in TENSOR or name not in QUANTITIES:
        where, key = (figures, TENSOR[name]) if name in TENSOR else (figures.get('functions') or {}, name)
        return t.cast('float | None', where.get(key))
    if name == 'pugh_ratio':
        bulk, shear = (figures.get(TENSOR[each]) for each in ('bulk_modulus', 'shear_modulus'))
        return shear / bulk if bulk and shear else None
    if name in OF_HULL:
        if placed is None:
            return None
        return placed.formation_energy_per_atom if name == 'formation_energy' else placed.e_above_hull
    volume = figures.get('volume_per_atom')
    if volume is None or name == 'volume_per_atom':
        return volume
    content = Composition(composition)
    return DENSITY * float(content.weight) / (content.num_atoms * float(volume))


def amounts_of(composition: Composition) -> dict[str, int]:
    """Return element → number of atoms."""
    return {symbol: round(amount) for symbol, amount in composition.get_el_amt_dict().items()}
