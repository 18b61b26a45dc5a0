"""How alike elements are, for the exchange of one by another in a known crystal."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.oxidation_states import electronegativity
from aiida_qagenai.chemistry.radii import COVALENT_RADII

__all__ = ('NUM_ELEMENTS', 'PROPERTIES', 'element_distances', 'element_properties')

NUM_ELEMENTS = 103
"""Elements up to lawrencium have all properties."""

PROPERTIES = ('mendeleev_number', 'electronegativity', 'group', 'radius', 'row')
_WEIGHTS = {'mendeleev_number': 0.1, 'electronegativity': 2.0, 'group': 0.125}


@functools.cache
def element_properties() -> NDArray[np.float64]:
    """Return ``PROPERTIES`` by atomic number, shape (NUM_ELEMENTS + 1, 5); row 0 is zero.

    Pettifor's Mendeleev number as pymatgen has it, Pauling's electronegativity (0 for He, Ne and Ar), the group, the
    covalent radius (Å) and the row.
    """
    from pymatgen.core import Element

    table = np.zeros((NUM_ELEMENTS + 1, len(PROPERTIES)))
    for number, symbol in enumerate(SYMBOLS[:NUM_ELEMENTS], start=1):
        element = Element(symbol)
        table[number] = (
            element.mendeleev_no,
            electronegativity(symbol) or 0.0,
            element.group,
            COVALENT_RADII[number],
            element.row,
        )
    return table


@functools.cache
def element_distances() -> NDArray[np.float64]:
    """Return how far elements are from each other, shape (NUM_ELEMENTS + 1, NUM_ELEMENTS + 1).

    The sum of the differences of Mendeleev number / 10, 2 × electronegativity and group / 8.
    """
    weights = np.array([_WEIGHTS.get(name, 0.0) for name in PROPERTIES])
    table = element_properties() * weights
    distances: NDArray[np.float64] = np.abs(table[:, None] - table[None]).sum(-1)
    return distances
