"""Covalent radii.

Single-bond radii of P. Pyykkö and M. Atsumi, "Molecular single-bond covalent radii for elements 1–118",
Chem. Eur. J. 15, 186 (2009), the radii of the paper's constraint on distances (section 3.2.1).
"""

from __future__ import annotations

__all__ = ('COVALENT_RADII',)

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
