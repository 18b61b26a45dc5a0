"""The path through the Brillouin zone along which bands are computed, by seekpath, in the cell at hand."""

from __future__ import annotations

import dataclasses
import typing as t
import warnings

import numpy as np
import seekpath
import spglib
from pymatgen.core import Element

__all__ = ('BandPath', 'band_path')

SYMPREC = 1e-5
"""Tolerance of the symmetry, Å: the same for the path and for the rotation to the standard setting."""


@dataclasses.dataclass(frozen=True)
class BandPath:
    """Points of a path: ``kpoints`` (n, 3) in units of the reciprocal vectors, and the ``labels`` of some of them."""

    kpoints: np.ndarray
    labels: list[tuple[int, str]]


def band_path(
    cell: t.Sequence[t.Sequence[float]], sites: t.Sequence[tuple[str, t.Sequence[float]]], spacing: float
) -> BandPath:
    """Return the path of Hinuma et al. for the crystal, with time reversal.

    seekpath gives it in the standard setting of the primitive cell; here it is turned back to the given cell, whose
    bands are folded where it is larger than primitive.

    :param cell: lattice vectors as rows, Å.
    :param sites: symbol and Cartesian position (Å) of each atom.
    :param spacing: largest distance of neighbouring points, 1/Å.
    """
    lattice = np.array(cell, dtype=float)
    fractional = np.array([position for _, position in sites]) @ np.linalg.inv(lattice)
    crystal = (lattice.tolist(), fractional.tolist(), [Element(symbol).Z for symbol, _ in sites])
    with warnings.catch_warnings():
        # It reads the symmetry dataset of spglib the old way, and warns of cells for which the path is not unique.
        warnings.simplefilter('ignore')
        path = seekpath.get_explicit_k_path(crystal, reference_distance=spacing, symprec=SYMPREC)
        rotation = np.array(spglib.get_symmetry_dataset(crystal, symprec=SYMPREC).std_rotation_matrix)
    cartesian = np.array(path['explicit_kpoints_abs']) @ rotation
    return BandPath(
        kpoints=cartesian @ lattice.T / (2 * np.pi),
        labels=[(index, label) for index, label in enumerate(path['explicit_kpoints_labels']) if label],
    )
