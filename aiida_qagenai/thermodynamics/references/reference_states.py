"""The reference states of the elements: molecule, atom or crystal at the experimental geometry."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice

__all__ = ('ReferenceState', 'reference_state', 'self_consistent_formation_energy')

BOX = 20.0
"""Edge of the box of a molecule, Å, which is computed without it."""

_TABLE: dict[str, t.Any] = json.loads(Path(__file__).with_name('reference_states.json').read_text(encoding='utf8'))[
    'elements'
]


@dataclasses.dataclass(frozen=True)
class ReferenceState:
    """An element as the experiment knows it at low temperature.

    :param kind: ``molecule``, ``atom``, ``bcc``, ``fcc``, ``hcp``, ``diamond``, ``arsenic`` or ``selenium``.
    :param cell: lattice vectors as rows, Å.
    :param positions: Cartesian, Å, of shape (num_atoms, 3).
    :param spin: unpaired electrons of a molecule or atom; moments of crystals are not part of it.
    :param ordering: name of the magnetic ordering of a crystal, see :mod:`aiida_qagenai.chemistry.orderings`; that of
        Cr, corners against centres, stands for its spin-density wave.
    """

    element: str
    kind: str
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    spin: int
    ordering: str | None = None

    @property
    def is_crystal(self) -> bool:
        """Return whether it is periodic."""
        return self.kind not in {'molecule', 'atom'}

    @property
    def num_atoms(self) -> int:
        """Return the atoms per molecule or primitive cell."""
        return len(self.positions)


def reference_state(element: str) -> ReferenceState | None:
    """Return the reference state, or None for elements whose structure is too large or not known here (B, P, Mn)."""
    entry = _TABLE.get(element)
    if entry is None:
        return None
    cell, fractions = _geometry(entry)
    return ReferenceState(element, entry['kind'], cell, fractions @ cell, entry.get('spin', 0), entry.get('ordering'))


def _geometry(entry: dict[str, t.Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lattice vectors and fractional coordinates of the primitive cell."""
    kind, origin = entry['kind'], [0.0, 0.0, 0.0]
    if kind in {'molecule', 'atom'}:
        sites = [[0.5, 0.5, 0.5]] + ([[0.5, 0.5, 0.5 + entry['bond'] / BOX]] if kind == 'molecule' else [])
        return BOX * np.eye(3), np.array(sites)
    a = entry['a']
    if kind == 'hcp':
        cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, entry['c']]])
        return cell, np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    if kind == 'arsenic':
        cell = np.array(Lattice.rhombohedral(a, entry['alpha']).matrix)
        return cell, np.array([[entry['u']] * 3, [-entry['u']] * 3])
    if kind == 'selenium':
        u, cell = entry['u'], np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, entry['c']]])
        return cell, np.array([[u, 0, 1 / 3], [0, u, 2 / 3], [-u, -u, 0]])
    if kind == 'bcc':
        return a / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), np.array([origin])
    cell = a / 2 * (np.ones((3, 3)) - np.eye(3))
    return cell, np.array([origin, [0.25] * 3] if kind == 'diamond' else [origin])


def self_consistent_formation_energy(
    total_energy: float, composition: t.Mapping[str, int], element_energies: t.Mapping[str, float]
) -> float:
    """Return the formation energy per atom, eV, against the elements at the same level of theory.

    :param total_energy: of the cell, eV.
    :param element_energies: of the reference states, eV/atom.
    """
    separated = sum(count * element_energies[element] for element, count in composition.items())
    return (total_energy - separated) / sum(composition.values())
