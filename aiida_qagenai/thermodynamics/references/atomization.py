"""Free atoms: their experimental energies, the anchor of formation energies, and errors of pseudopotentials in them."""

from __future__ import annotations

import json
import math
import typing as t
from collections.abc import Mapping
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.units import KJ_PER_MOL_TO_EV

__all__ = (
    'GROUND_STATE_SPIN',
    'anchored_formation_energy',
    'anchored_uncertainty',
    'atomization_energy',
    'atomization_uncertainty',
    'corrected_atoms',
    'has_spin_error',
    'spin_polarization_error',
)


def _table(name: str, section: str) -> t.Any:
    return json.loads(Path(__file__).with_name(f'{name}.json').read_text(encoding='utf8'))[section]


GROUND_STATE_SPIN: dict[str, int] = {
    **{'H': 1, 'He': 0, 'Li': 1, 'Be': 0, 'B': 1, 'C': 2, 'N': 3, 'O': 2, 'F': 1, 'Ne': 0},
    **{'Na': 1, 'Mg': 0, 'Al': 1, 'Si': 2, 'P': 3, 'S': 2, 'Cl': 1, 'Ar': 0},
    **{'K': 1, 'Ca': 0, 'Sc': 1, 'Ti': 2, 'V': 3, 'Cr': 6, 'Mn': 5, 'Fe': 4, 'Co': 3, 'Ni': 2, 'Cu': 1, 'Zn': 0},
    **{'Ga': 1, 'Ge': 2, 'As': 3, 'Se': 2, 'Br': 1, 'Kr': 0},
    **{'Rb': 1, 'Sr': 0, 'Y': 1, 'Zr': 2, 'Nb': 5, 'Mo': 6, 'Tc': 5, 'Ru': 4, 'Rh': 3, 'Pd': 0, 'Ag': 1, 'Cd': 0},
    **{'In': 1, 'Sn': 2, 'Sb': 3, 'Te': 2, 'I': 1, 'Xe': 0},
    **{'Cs': 1, 'Ba': 0, 'Hf': 2, 'Ta': 3, 'W': 4, 'Re': 5, 'Os': 4, 'Ir': 3, 'Pt': 2, 'Au': 1, 'Hg': 0},
    **{'Tl': 1, 'Pb': 2, 'Bi': 3, 'Po': 2, 'At': 1, 'Rn': 0},
}
"""Unpaired electrons of the free atom in its ground state (NIST Atomic Spectra Database)."""

_ELEMENTS: dict[str, dict[str, float]] = {
    **_table('atomization', 'elements'),
    **_table('atomization_heavy', 'elements'),
}
_LEFT_OUT: dict[str, str] = _table('atomization_heavy', 'left_out')
_SPIN_ERRORS: dict[str, dict[str, dict[str, float]]] = _table('spin_polarization', 'pseudopotentials')


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


def _entry(element: str) -> dict[str, float]:
    if element not in _ELEMENTS:
        reason = f' ({_LEFT_OUT[element]})' if element in _LEFT_OUT else ''
        message = f'no experimental atomisation energy of {element}{reason}: known are {", ".join(_ELEMENTS)}'
        raise InvalidInputError(message)
    return _ELEMENTS[element]


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
        raise InvalidInputError(f'no energy of the isolated atom of {", ".join(missing)}')
    num_atoms = sum(composition.values())
    separated = sum(
        count * (atom_energies[element] - atomization_energy(element)) for element, count in composition.items()
    )
    return (total_energy - separated) / num_atoms


def has_spin_error(pseudo: str | None, fidelity: Fidelity) -> bool:
    """Return whether a level binds free atoms too strongly: a functional with a pseudopotential of the table."""
    return fidelity is not Fidelity.CCSD_T and pseudo in _SPIN_ERRORS


def spin_polarization_error(pseudo: str | None, fidelity: Fidelity, element: str) -> float:
    """Return by how much a level of theory binds the free atom of an element too strongly, eV.

    A functional of the density takes what it gains by spin polarisation from valence and core together; without the
    density of the core, which is not polarised, it gains too much (Louie, Froyen, Cohen, Phys. Rev. B 26, 1738 (1982);
    Willand et al., J. Chem. Phys. 138, 104109 (2013)). The value is E(spherical, not polarised) − E(ground state) by
    the pseudopotential minus that of all electrons. It is zero for atoms without unpaired electrons.

    :param pseudo: name of the pseudopotential, None for all electrons.
    :return: 0 for all electrons, for CCSD(T), and for pseudopotentials that are not in the table.
    :raises InvalidInputError: if the pseudopotential is in the table but not the element.
    """
    if not has_spin_error(pseudo, fidelity):
        return 0.0
    elements = _SPIN_ERRORS[str(pseudo)]
    if element not in elements:
        message = f'how {pseudo} errs in the spin polarisation of {element} is not known: {", ".join(elements)} are'
        raise InvalidInputError(message)
    return elements[element][fidelity.value]


def corrected_atoms(energies: Mapping[str, float], pseudo: str | None, fidelity: Fidelity) -> dict[str, float]:
    """Return the energies of free atoms, eV, without the error of their spin polarisation.

    :param energies: by element, as computed.
    :raises InvalidInputError: if an element is not in the table of the pseudopotential.
    """
    return {
        element: energy + spin_polarization_error(pseudo, fidelity, element) for element, energy in energies.items()
    }
