"""What pseudopotentials without a nonlinear core correction make of the spin polarisation of free atoms."""

from __future__ import annotations

import functools
import json
import typing as t
from collections.abc import Mapping
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity

__all__ = ('corrected_atoms', 'has_spin_error', 'spin_polarization_error')


@functools.lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, dict[str, float]]]:
    path = Path(__file__).with_name('spin_polarization.json')
    table: dict[str, dict[str, dict[str, float]]] = json.loads(path.read_text(encoding='utf8'))['pseudopotentials']
    return table


def has_spin_error(pseudo: str | None, fidelity: Fidelity) -> bool:
    """Return whether a level binds free atoms too strongly: a functional with a pseudopotential of the table."""
    return fidelity is not Fidelity.CCSD_T and pseudo in _table()


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
    elements = _table()[t.cast('str', pseudo)]
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
