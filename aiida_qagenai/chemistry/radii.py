"""Covalent radii, and what follows from them: the length of a contact and the sphere of an atom.

Single-bond radii of P. Pyykkö and M. Atsumi, "Molecular single-bond covalent radii for elements 1–118",
Chem. Eur. J. 15, 186 (2009), the radii of the paper's constraint on distances (section 3.2.1), and triple-bond radii of
P. Pyykkö, S. Riedel and M. Patzschke, "Triple-bond covalent radii", Chem. Eur. J. 11, 3511 (2005).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ('CONTACT_LENGTHS', 'COVALENT_RADII', 'SPHERE_RADII')

# pm, in the order of atomic number, one row per period
_PICOMETRES = (
    *(32, 46),
    *(133, 102, 85, 75, 71, 63, 64, 67),
    *(155, 139, 126, 116, 111, 103, 99, 96),
    *(196, 171, 148, 136, 134, 122, 119, 116, 111, 110, 112, 118, 124, 121, 121, 116, 114, 117),
    *(210, 185, 163, 154, 147, 138, 128, 125, 125, 120, 128, 136, 142, 140, 140, 136, 133, 131),
    *(232, 196, 180, 163, 176, 174, 173, 172, 168, 169, 168, 167, 166, 165, 164, 170, 162),
    *(152, 146, 137, 131, 129, 122, 123, 124, 133, 144, 144, 151, 145, 147, 142),
    *(223, 201, 186, 175, 169, 170, 171, 172, 166, 166, 168, 168, 165, 167, 173, 176, 161),
    *(157, 149, 143, 141, 134, 129, 128, 121, 122, 136, 143, 162, 175, 165, 157),
)

COVALENT_RADII: dict[int, float] = {number: picometres / 100 for number, picometres in enumerate(_PICOMETRES, start=1)}
"""Atomic number (1–118) → single-bond covalent radius, Å."""

# fmt: off
_TRIPLE_PICOMETRES = {
    6: 60, 7: 54, 8: 53,
    22: 108, 23: 106, 24: 103, 25: 103, 26: 102, 27: 96, 40: 121, 41: 116, 42: 113, 43: 110, 44: 103,
    72: 122, 73: 119, 74: 115, 75: 110, 76: 109, 77: 107, 91: 129, 92: 118, 93: 116,
    94: 116, 95: 116,  # not published: plutonyl and americyl ions are as short as the neptunyl ion
}
# fmt: on
"""Atomic number → triple-bond radius, pm, of C, N and O and of the metals that form multiple bonds to them."""

_MULTIPLE_BOND_FACTOR = 0.95 / 0.8
"""A triple bond may be shortened by 5 %, where a single bond may be shortened by 20 %, before its atoms overlap."""


def _contact_lengths() -> NDArray[np.float64]:
    single = np.array([np.nan, *COVALENT_RADII.values()])
    triple = np.full(len(single), np.inf)
    for number, picometres in _TRIPLE_PICOMETRES.items():
        triple[number] = picometres / 100
    light = np.isin(np.arange(len(single)), (6, 7, 8))
    multiple = np.where(light[:, None] | light, triple[:, None] + triple, np.inf)
    return np.minimum(single[:, None] + single, _MULTIPLE_BOND_FACTOR * multiple)


CONTACT_LENGTHS: NDArray[np.float64] = _contact_lengths()
"""Length that the distance of two atoms is compared with, by their atomic numbers, shape (119, 119), Å.

The sum of the single-bond radii, but less for atoms that form multiple bonds with each other: N≡N is 1.10 Å long, C≡C
in carbides 1.19 Å, and U=O in uranyl ions 1.76 Å, which are 0.77, 0.79 and 0.76 times the sum of the single-bond radii.
"""

SPHERE_RADII: dict[int, float] = {number: max(radius, COVALENT_RADII[8]) for number, radius in COVALENT_RADII.items()}
"""Atomic number → radius of the sphere that an atom fills, Å.

The covalent radius; hydrogen and helium, whose radii are those of an atom without a core, fill as much space as oxygen.
"""
