"""Duplicates among structures, and novelty against known ones.

Two structures are the same if pymatgen's ``StructureMatcher`` maps one onto the other after volume scaling and they are
not distortions of one parent to different symmetries (:mod:`aiida_qagenai.chemistry.polymorphs`). The matcher only
sees pairs with the same reduced formula, and where a formula has many known structures, as within a campaign, only
those whose fingerprint vectors, in units of the mean atomic spacing, are close. The space group is not part of the
prefilter: noise that the matcher tolerates changes it.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.polymorphs import DistortionSymmetry, distortion_symmetry
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.chemistry.symmetry import fingerprint_vector

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Clusters', 'KnownStructures', 'find_duplicates')

PREFILTER = 0.15
"""Largest difference between two fingerprints of the same structure, in mean atomic spacings: twice what displacements
of 0.1 Å cause in a table of crystals (figure ``novelty-prefilter-largest-shift``)."""

PREFILTER_FROM = 6
"""Number of known structures of a formula from which fingerprints cost less than the comparisons they save."""

SMALLEST_DISPLACEMENT = 0.03
"""Largest displacement of an atom in a distortion, at least, Å."""


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Groups of equal structures.

    :param labels: cluster of each structure, shape (n,).
    :param representatives: index of the first member of each cluster.
    """

    labels: NDArray[np.int64]
    representatives: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.representatives)


class KnownStructures:
    """A set of structures that others are compared with; fingerprints are made when a formula is first asked for.

    :param structures: ordered structures; odd ones match nothing.
    :param distortions: whether distortions of one parent to different symmetries are different structures. Without
        relaxation, noise beyond some hundredths of an Å is taken for a distortion.
    :param matcher: options of pymatgen's ``StructureMatcher`` (``ltol``, ``stol``, ``angle_tol``, …).
    """

    def __init__(self, structures: Sequence[Structure] = (), *, distortions: bool = True, **matcher: t.Any) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self._distortions = distortions
        self._matcher = StructureMatcher(**matcher)
        self._primitive = matcher.get('primitive_cell', True)
        self._structures: list[Structure] = []
        # The matcher reduces both cells of every pair, which takes most of its time.
        self._reduced: dict[int, Structure] = {}
        self._by_formula: dict[str, list[int]] = {}
        self._vectors: dict[int, NDArray[np.float64]] = {}
        self._symmetries: dict[int, DistortionSymmetry] = {}
        for structure in structures:
            self.add(structure)

    def __len__(self) -> int:
        return len(self._structures)

    def add(self, structure: Structure) -> int:
        """Add a structure and return its index."""
        index, structure = len(self._structures), plain_structure(structure)
        self._structures.append(structure)
        if structure_problem(structure) is None:
            self._by_formula.setdefault(structure.composition.reduced_formula, []).append(index)
        return index

    def find(self, structure: Structure) -> int | None:
        """Return the index of a known structure that is the same as ``structure``, or ``None``.

        One of the same symmetry is preferred to one whose symmetry is hidden by noise.
        """
        structure = plain_structure(structure)
        if structure_problem(structure) is not None:
            return None
        members = self._by_formula.get(structure.composition.reduced_formula, [])
        symmetry: DistortionSymmetry | None = None
        possible = None
        reduced = self._reduce(structure) if members else structure
        for index in self._closest(structure, members) if len(members) >= PREFILTER_FROM else members:
            if not self._matcher.fit(reduced, self._reduced_cell(index), skip_structure_reduction=True):
                continue
            if not self._distortions:
                return index
            symmetry = symmetry or distortion_symmetry(structure)
            other = self._symmetry(index)
            if symmetry[:2] == other[:2]:
                return index
            if possible is None and not self._is_distorted(structure, index, symmetry, other):
                possible = index
        return possible

    def _is_distorted(
        self, structure: Structure, index: int, symmetry: DistortionSymmetry, other: DistortionSymmetry
    ) -> bool:
        """Return whether a structure that the matcher maps onto a known one is another distortion of its parent."""
        if not symmetry.differs_from(other):
            return False
        if symmetry.num_atoms != other.num_atoms:
            return True
        found = self._matcher.get_rms_dist(structure, self._structures[index])
        spacing = (structure.volume / len(structure)) ** (1 / 3)
        # where no atom leaves its place there is only a strain, which the matcher accepts
        return found is None or found[1] * spacing > SMALLEST_DISPLACEMENT

    def _reduce(self, structure: Structure) -> Structure:
        """Return the cell that the matcher would make."""
        reduced = structure.get_reduced_structure()
        return reduced.get_primitive_structure() if self._primitive else reduced

    def _reduced_cell(self, index: int) -> Structure:
        if index not in self._reduced:
            self._reduced[index] = self._reduce(self._structures[index])
        return self._reduced[index]

    def _symmetry(self, index: int) -> DistortionSymmetry:
        if index not in self._symmetries:
            self._symmetries[index] = distortion_symmetry(self._structures[index])
        return self._symmetries[index]

    def _closest(self, structure: Structure, members: Sequence[int]) -> list[int]:
        """Return those of ``members`` whose fingerprints are close, the closest first."""
        vectors = np.array([self._vector(index) for index in members])
        differences = np.abs(vectors - _scaled_fingerprint(structure)).max(axis=1)
        order = np.argsort(differences, kind='stable')
        return [members[int(position)] for position in order if differences[position] <= PREFILTER]

    def _vector(self, index: int) -> NDArray[np.float64]:
        if index not in self._vectors:
            self._vectors[index] = _scaled_fingerprint(self._structures[index])
        return self._vectors[index]


def find_duplicates(structures: Sequence[Structure], *, distortions: bool = True, **matcher: t.Any) -> Clusters:
    """Return the clusters of equal structures, each represented by its first member.

    A structure joins the cluster whose representative it equals; an odd one (flat, disordered) is alone in its cluster.

    :param distortions: as for :class:`KnownStructures`.
    :param matcher: options of pymatgen's ``StructureMatcher``.
    """
    known = KnownStructures(distortions=distortions, **matcher)
    representatives: list[int] = []
    labels = np.empty(len(structures), dtype=np.int64)
    for index, structure in enumerate(structures):
        found = known.find(structure)
        if found is None:
            found = known.add(structure)
            representatives.append(index)
        labels[index] = found
    return Clusters(labels, tuple(representatives))


def _scaled_fingerprint(structure: Structure) -> NDArray[np.float64]:
    vector: NDArray[np.float64] = fingerprint_vector(structure) / (structure.volume / len(structure)) ** (1 / 3)
    return vector
