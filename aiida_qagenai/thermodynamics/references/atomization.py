"""Experimental atomisation energies of the elements: the anchor of formation energies that no method computes alike."""

from __future__ import annotations

import functools
import json
import math
import typing as t
from collections.abc import Mapping
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.units import KJ_PER_MOL_TO_EV

__all__ = (
    'GROUND_STATE_SPIN',
    'anchored_formation_energy',
    'anchored_uncertainty',
    'atomization_energy',
    'atomization_uncertainty',
)

GROUND_STATE_SPIN: dict[str, int] = {
    **{'H': 1, 'He': 0, 'Li': 1, 'Be': 0, 'B': 1, 'C': 2, 'N': 3, 'O': 2, 'F': 1, 'Ne': 0},
    **{'Na': 1, 'Mg': 0, 'Al': 1, 'Si': 2, 'P': 3, 'S': 2, 'Cl': 1, 'Ar': 0},
}
"""Unpaired electrons of the free atom in its ground state (NIST Atomic Spectra Database)."""


@functools.lru_cache(maxsize=1)
def _table() -> dict[str, t.Any]:
    path = Path(__file__).with_name('atomization.json')
    table: dict[str, t.Any] = json.loads(path.read_text(encoding='utf8'))['elements']
    return table


def atomization_energy(element: str) -> float:
    """Return the energy that separates the element's standard state into atoms, eV/atom, at 0 K, vibrationless.

    :raises InvalidInputError: if no experimental value is known here.
    """
    entry = _entry(element)
    return float(entry['enthalpy_kj_per_mol'] * KJ_PER_MOL_TO_EV + entry['zero_point_ev'])


def atomization_uncertainty(element: str) -> float:
    """Return the standard error of :func:`atomization_energy`, eV/atom: of the enthalpy and of the zero-point energy.

    :raises InvalidInputError: if no experimental value is known here.
    """
    entry = _entry(element)
    enthalpy = entry['enthalpy_uncertainty_kj_per_mol'] * KJ_PER_MOL_TO_EV
    return math.hypot(enthalpy, entry['zero_point_uncertainty_ev'])


def _entry(element: str) -> dict[str, t.Any]:
    table = _table()
    if element not in table:
        message = f'no experimental atomisation energy of {element}: known are {", ".join(table)}'
        raise InvalidInputError(message)
    entry: dict[str, t.Any] = table[element]
    return entry


def anchored_uncertainty(composition: Mapping[str, int]) -> float:
    """Return the standard error that the experimental values bring into an anchored formation energy, eV/atom.

    It is the same at every level of theory and for every structure of one composition: it moves hulls, not differences.
    """
    num_atoms = sum(composition.values())
    return math.hypot(*(count / num_atoms * atomization_uncertainty(e) for e, count in composition.items()))


def anchored_formation_energy(
    total_energy: float, composition: Mapping[str, int], atom_energies: Mapping[str, float]
) -> float:
    """Return the formation energy per atom, eV, anchored to experimental atomisation energies.

    E_f = [E − Σ n_i E_i(atom)] / N + Σ x_i A_i: the computed energy against free atoms at the same level, and the
    experimental energy A_i from the standard state to free atoms. Comparable across all levels of theory.

    :param total_energy: of the cell, eV.
    :param composition: atoms per cell by element.
    :param atom_energies: of the isolated atoms at the same level, eV.
    :raises InvalidInputError: if an atom is missing.
    """
    missing = sorted(set(composition) - set(atom_energies))
    if missing:
        message = f'no energy of the isolated atom of {", ".join(missing)}'
        raise InvalidInputError(message)
    num_atoms = sum(composition.values())
    separated = sum(
        count * (atom_energies[element] - atomization_energy(element)) for element, count in composition.items()
    )
    return (total_energy - separated) / num_atoms
