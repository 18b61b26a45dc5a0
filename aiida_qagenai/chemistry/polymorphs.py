"""Polymorphs that differ by a small distortion, such as the phases of BaTiO3: what tells them from noise is symmetry.

The displacements of a phase transition and of noise may be of one size, but those of a transition leave a space group
of their own, which is the same over a range of tolerances, whereas noise breaks all operations at once.
"""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.symmetry import symmetry_dataset

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('DistortionSymmetry', 'distortion_symmetry', 'settled_dataset')

NOISE_TOLERANCE = 0.04
"""Displacements of 0.01 Å move a position and its image apart by at most four times as much, Å."""

DISTORTION_TOLERANCE = 0.07
"""A distortion moves a position and its image further apart than this, Å: 0.1 Å for tilts by 1.5° in SrTiO3."""

CHANCE_TOLERANCE = 0.005
"""Tolerance at which symmetry has to hold where noise may leave it by chance, Å: one mirror, or few atoms."""

FEW_ATOMS = 4
"""Number of atoms up to which noise, which has few directions then, often lies on a symmetry element."""

PARENT_TOLERANCES = (0.2, 0.1, 0.04)
"""Tolerances at which the lattice of the parent is looked for, Å."""

LARGEST_STRAIN = 0.02
"""Strain of a lattice that means nothing where the atoms keep the symmetry of the parent."""

TRICLINIC, MONOCLINIC = 2, 15  # last space groups of their crystal systems

ENANTIOMORPHS = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212}
"""Space group of a mirror image → the lower number of the pair."""

Cell = tuple[t.Any, t.Any, t.Any]


class DistortionSymmetry(t.NamedTuple):
    """The symmetry of a crystal in which noise is ignored.

    :param number: space group, the lower number of a pair of mirror images; 0 where none was found.
    :param num_atoms: in the primitive cell.
    :param settled: whether the symmetry is that of the crystal; otherwise noise may have lowered it.
    """

    number: int
    num_atoms: int
    settled: bool

    def differs_from(self, other: DistortionSymmetry) -> bool:
        """Return whether two crystals are certainly of different symmetry."""
        return self.settled and other.settled and self[:2] != other[:2]


def distortion_symmetry(structure: Structure) -> DistortionSymmetry:
    """Return the symmetry that tells ``structure`` from other distortions of its parent; never raises."""
    if structure_problem(structure) is not None:
        return DistortionSymmetry(0, 0, settled=False)
    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    dataset, settled = _symmetry(cell)
    if dataset is None:
        return DistortionSymmetry(0, 0, settled=False)
    return DistortionSymmetry(*_key(dataset), settled)


def settled_dataset(cell: Cell) -> t.Any:
    """Return spglib's dataset of the symmetry of a crystal, or ``None`` where noise may have lowered it.

    :param cell: lattice (rows, Å), fractional coordinates, and a number per atom that tells the kinds apart.
    """
    dataset, settled = _symmetry(cell)
    return dataset if settled else None


def _symmetry(cell: Cell) -> tuple[t.Any, bool]:
    """Return the dataset at the tolerance of noise, and whether it is settled."""
    cell = (_unstrained(cell), *cell[1:])
    dataset, larger = (symmetry_dataset(cell, tolerance) for tolerance in (NOISE_TOLERANCE, DISTORTION_TOLERANCE))
    if dataset is None or larger is None or dataset.number <= TRICLINIC or _key(dataset) != _key(larger):
        return dataset, False
    monoclinic, few = dataset.number <= MONOCLINIC, _key(dataset)[1] <= FEW_ATOMS
    if monoclinic and few:
        return dataset, False
    if monoclinic or few:
        exact = symmetry_dataset(cell, CHANCE_TOLERANCE)
        return dataset, exact is not None and _key(exact) == _key(dataset)
    return dataset, True


def _key(dataset: t.Any) -> tuple[int, int]:
    number = int(dataset.number)
    return ENANTIOMORPHS.get(number, number), int(np.max(dataset.mapping_to_primitive)) + 1


def _unstrained(cell: Cell) -> NDArray[np.float64]:
    """Return the lattice with the metric of the parent, or as it is where it is strained by more than a little."""
    lattice = np.asarray(cell[0], dtype=np.float64)
    metric = lattice @ lattice.T
    for tolerance in PARENT_TOLERANCES:
        parent = symmetry_dataset(cell, tolerance)
        if parent is None:
            continue
        ideal = np.mean([rotation.T @ metric @ rotation for rotation in parent.rotations], axis=0)
        stretches = np.sqrt(np.linalg.eigvals(np.linalg.solve(metric, ideal)).real)
        if np.abs(stretches - 1).max() <= LARGEST_STRAIN:
            found: NDArray[np.float64] = np.linalg.cholesky(ideal)
            return found
    return lattice
