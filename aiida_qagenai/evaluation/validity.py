"""Validity of generated crystals as the scripts of CDVAE and DiffCSP define it.

A structure is valid if no two different atoms of its cell are closer than 0.5 Å and the volume is at least 0.1 Å3. The
distance of an atom to its own images is not looked at, as there. A composition is valid by the rules of SMACT (D. W.
Davies et al., Chem 1, 617, 2016): one listed oxidation state per element balances the charges with all anions more
electronegative than all cations, or it is an element or an alloy. The original list of oxidation states (``smact14``)
makes results comparable with published ones.
"""

from __future__ import annotations

import itertools
import math
import typing as t
from collections.abc import Mapping

import numpy as np

from aiida_qagenai.chemistry.composition import reduced
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS, require_elements
from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.oxidation_states import electronegativity, oxidation_states
from aiida_qagenai.chemistry.species import plain_structure

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'CURRENT',
    'LEGACY',
    'MINIMUM_DISTANCE',
    'MINIMUM_VOLUME',
    'composition_is_valid',
    'element_counts',
    'is_valid',
    'structure_is_valid',
)

MINIMUM_DISTANCE = 0.5
"""Smallest distance of two atoms in a valid structure, Å."""

MINIMUM_VOLUME = 0.1
"""Smallest volume of a valid structure, Å3."""

LEGACY = 'smact14'
"""The list of oxidation states of the published comparisons."""

CURRENT = 'icsd24'
"""The present list of SMACT."""

_ELECTRONEGATIVITIES: dict[str, float] = {
    'Tc': 2.1, 'Tb': 1.2, 'Lu': 1.0, 'W': 1.7, 'Pt': 2.2, 'Au': 2.4, 'Hg': 1.9, 'Tl': 1.8, 'Pb': 1.8, 'Bi': 1.9,
    'U': 1.7, 'Np': 1.3, 'Pu': 1.3,
}  # fmt: skip
"""Where SMACT has other values of Pauling's scale than :mod:`aiida_qagenai.chemistry.oxidation_states`."""

_WITHOUT = frozenset({'Pm', 'Rn', 'Lr'})
"""Elements without an electronegativity in SMACT."""

_METALS = frozenset(SYMBOLS[:102]) - {
    'H', 'He', 'B', 'C', 'N', 'O', 'F', 'Ne', 'Si', 'P', 'S', 'Cl', 'Ar', 'As', 'Se', 'Br', 'Kr', 'Te', 'I', 'Xe',
    'Pm', 'At', 'Rn',
}  # fmt: skip
"""Elements that SMACT counts as metals: Ge, Sb and Po are among them, Pm is not."""


def structure_is_valid(structure: Structure) -> bool:
    """Return whether a structure is ordered and finite, its atoms are 0.5 Å apart, and its volume is 0.1 Å3 or more."""
    if structure_problem(structure) is not None or structure.volume < MINIMUM_VOLUME:
        return False
    if len(structure) == 1:
        return True
    distances = structure.distance_matrix[~np.eye(len(structure), dtype=bool)]
    return bool(distances.min() >= MINIMUM_DISTANCE)


def composition_is_valid(composition: Mapping[str, int], source: str = LEGACY) -> bool:
    """Return whether a composition passes the rules of SMACT, alloys included.

    :param composition: element → number of atoms.
    :param source: list of oxidation states.
    :raises InvalidInputError: for an unknown element or list.
    """
    counts = reduced(composition)
    symbols = require_elements(counts)
    if len(symbols) == 1 or _METALS.issuperset(symbols):
        return True
    values = [_electronegativity(symbol) for symbol in symbols]
    if any(math.isnan(value) for value in values):
        return False
    amounts = list(counts.values())
    for states in itertools.product(*(oxidation_states(symbol, source) for symbol in symbols)):
        if sum(state * amount for state, amount in zip(states, amounts, strict=True)) == 0:
            cations = [value for value, state in zip(values, states, strict=True) if state > 0]
            anions = [value for value, state in zip(values, states, strict=True) if state < 0]
            if max(cations) < min(anions):
                return True
    return False


def is_valid(structure: Structure, source: str = LEGACY) -> bool:
    """Return whether both the structure and its composition are valid."""
    if not structure_is_valid(structure):
        return False
    counts = element_counts(structure)
    return counts is not None and composition_is_valid(counts, source)


def element_counts(structure: Structure) -> dict[str, int] | None:
    """Return element → number of atoms; ``None`` for a disordered structure, and for one with dummy species."""
    if not structure.is_ordered:
        return None
    counts = {element.symbol: int(number) for element, number in plain_structure(structure).composition.items()}
    return counts if set(counts) <= set(ATOMIC_NUMBERS) else None


def _electronegativity(symbol: str) -> float:
    """Return the value of SMACT, not a number where it has none."""
    value = None if symbol in _WITHOUT else _ELECTRONEGATIVITIES.get(symbol, electronegativity(symbol))
    return math.nan if value is None else value
