"""Which compounds have open d or f shells: where a spin-averaged, one-configuration view of the electrons is in doubt.

Their energies depend on the magnetic order and on occupations that no model of positions alone sees, density
functionals err most for them, and so do models trained on such energies.
"""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.charges import assign_charges
from aiida_qagenai.chemistry.elements import SYMBOLS, require_elements

__all__ = (
    'F_ELEMENTS',
    'MAGNETIC_METALS',
    'OPEN_SHELLS',
    'has_f_electrons',
    'is_magnetic',
    'open_shell_elements',
    'shells_of',
)

OPEN_SHELLS = ('closed', 'magnetic', 'f_electrons')
"""What ``shells_of`` tells apart, by their numbers."""

F_ELEMENTS = frozenset((*SYMBOLS[57:70], *SYMBOLS[90:102]))
"""Elements with electrons in a 4f or 5f shell that is not full in all of their states: Ce to Yb, Pa to No."""

MAGNETIC_METALS = frozenset({'Cr', 'Mn', 'Fe', 'Co', 'Ni'})
"""Elements whose metals and alloys carry moments, where no oxidation states balance."""

_VALENCE = {'Ti': 4, 'V': 5, 'Cr': 6, 'Mn': 7, 'Fe': 8, 'Co': 9, 'Ni': 10, 'Cu': 11}
"""Valence electrons of the elements whose ions carry moments if their 3d shell is neither empty nor full."""


def has_f_electrons(symbols: object) -> bool:
    """Return whether a compound of these elements has electrons in an f shell.

    :raises aiida_qagenai.common.errors.InvalidInputError: for an unknown element.
    """
    return not F_ELEMENTS.isdisjoint(require_elements(symbols))


def is_magnetic(composition: Mapping[str, int]) -> bool:
    """Return whether a compound probably has local moments in a 3d shell.

    With oxidation states that balance, a shell counts its electrons: V2O5 (d0) and Cu2O (d10) have no moments, La2CuO4
    (d9) has. A spin state is not known: Co3+ in LiCoO2 counts as magnetic, since other structures of it are. Without
    such states, metals and alloys of ``MAGNETIC_METALS`` count.

    :param composition: element → number of atoms.
    """
    symbols = set(require_elements(composition))
    if not symbols & _VALENCE.keys():
        return False
    assignment = assign_charges(composition)
    if assignment is None or len(symbols) == 1:
        return bool(symbols & MAGNETIC_METALS)
    electrons = (_VALENCE[symbol] - assignment.states[symbol] for symbol in symbols & _VALENCE.keys())
    return any(0.01 < number < 9.99 for number in electrons)


def open_shell_elements(symbols: t.Collection[str]) -> set[str]:
    """Return those of the elements that have an open d or f shell in some of their compounds.

    :raises aiida_qagenai.common.errors.InvalidInputError: for an unknown element.
    """
    found = set(require_elements(symbols))
    return found & (F_ELEMENTS | _VALENCE.keys())


def shells_of(compositions: t.Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return for each crystal 2 if it has f electrons, 1 if it is magnetic, else 0: places in ``OPEN_SHELLS``.

    :param compositions: atomic numbers of each crystal.
    """
    return np.array([_shells(tuple(sorted(numbers.tolist()))) for numbers in compositions], dtype=np.int64)


@functools.lru_cache(maxsize=4096)
def _shells(numbers: tuple[int, ...]) -> int:
    amounts = {SYMBOLS[number - 1]: numbers.count(number) for number in sorted(set(numbers))}
    return 2 if has_f_electrons(amounts) else int(is_magnetic(amounts))
