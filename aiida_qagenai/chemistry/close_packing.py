"""Simple metallic packings: whether a crystal is fcc, bcc or hcp once its elements are not told apart."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.symmetry import symmetry_dataset

__all__ = ('PACKINGS', 'simple_packing')

Packing = t.Literal['fcc', 'bcc', 'hcp']

PACKINGS: tuple[Packing, ...] = ('fcc', 'bcc', 'hcp')

TOLERANCES = (0.3, 0.2, 0.1, 0.04)
"""Largest distances between a position and its image, Å, tried in turn: spglib may find nothing at a loose one."""

CUBIC: dict[tuple[int, int], Packing] = {(225, 4): 'fcc', (229, 2): 'bcc'}
HCP = (194, 2)
"""Space group, and sites of the conventional cell."""

HCP_RATIO = (1.5, 1.75)
"""c/a of hcp: 1.633 of spheres, 1.57 of beryllium, and up to the metals that are still called close-packed."""


def simple_packing(cell: NDArray[np.float64], fractional: NDArray[np.float64]) -> Packing | None:
    """Return which of the three packings of simple metals the positions of a crystal make, or None.

    Elements are not told apart: Cu3Au is fcc and CsCl bcc, as their positions are; rock salt is neither. A cell that is
    strained is none of them.

    :param cell: lattice vectors as rows, Å, shape (3, 3).
    :param fractional: positions, shape (n, 3).
    """
    kinds = np.ones(len(fractional), dtype=int)
    found = (_packing(symmetry_dataset((cell, fractional, kinds), tolerance)) for tolerance in TOLERANCES)
    return next((packing for packing in found if packing is not None), None)


def _packing(dataset: t.Any) -> Packing | None:
    """Return the packing of a symmetrised cell."""
    if dataset is None:
        return None
    number, sites = dataset.number, len(dataset.std_positions)
    if (number, sites) in CUBIC:
        return CUBIC[number, sites]
    a, _, c = np.linalg.norm(dataset.std_lattice, axis=1)
    return 'hcp' if (number, sites) == HCP and HCP_RATIO[0] <= c / a <= HCP_RATIO[1] else None
