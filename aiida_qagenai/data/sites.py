"""The attributes of a ``StructureData`` made at once: its own methods add one site after the other, 0.2 ms each."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from aiida.common import constants
from aiida.orm import StructureData
from aiida.orm.nodes.data.structure import Site
from numpy.typing import NDArray

from aiida_qagenai.chemistry.formula import reduced_formula

__all__ = ('MASSES', 'formula_of', 'move_atoms', 'structure_attributes')

MASSES: dict[str, float] = {values['symbol']: values['mass'] for values in constants.elements.values()}
"""Atomic masses as AiiDA has them, u."""


def structure_attributes(cell: NDArray[t.Any], symbols: Sequence[str], positions: NDArray[t.Any]) -> dict[str, t.Any]:
    """Return what ``StructureData(pymatgen=…)`` sets for an ordered periodic structure without spins.

    :param cell: lattice vectors as rows, Å, shape (3, 3).
    :param symbols: elements, length n.
    :param positions: Cartesian, Å, shape (n, 3).
    """
    return {
        'cell': cell.tolist(),
        'pbc1': True,
        'pbc2': True,
        'pbc3': True,
        'kinds': [
            {'name': symbol, 'symbols': [symbol], 'weights': [1.0], 'mass': MASSES[symbol]}
            for symbol in dict.fromkeys(symbols)
        ],
        'sites': [
            {'kind_name': symbol, 'position': position}
            for symbol, position in zip(symbols, positions.tolist(), strict=True)
        ],
    }


def formula_of(structure: StructureData) -> str:
    """Return the reduced formula."""
    return reduced_formula(structure.get_composition())


def move_atoms(
    structure: StructureData, cell: Sequence[Sequence[float]], positions: Sequence[Sequence[float]], how: str
) -> StructureData:
    """Return a plain structure, not stored, of the same atoms in another cell and at other positions.

    :param cell: lattice vectors as rows, Å.
    :param positions: Cartesian, Å, in the order of the sites.
    :param how: what was done to it, for the label: `relaxed`.
    """
    moved = StructureData(cell=cell, pbc=structure.pbc, label=f'{formula_of(structure)} {how}')
    for kind in structure.kinds:
        moved.append_kind(kind)
    for site, position in zip(structure.sites, positions, strict=True):
        moved.append_site(Site(kind_name=site.kind_name, position=position))
    return moved
