"""Duplicates among structures, and novelty against known ones.

Two structures are the same if pymatgen's ``StructureMatcher`` maps one onto the other after volume scaling. It only
sees pairs with the same reduced formula, and where a formula has many known structures, as within a campaign, only
those whose fingerprint vectors, in units of the mean atomic spacing, are close. The space group is no part of the
prefilter: noise that the matcher tolerates changes it.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.symmetry import fingerprint_vector

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Clusters', 'KnownStructures', 'find_duplicates')

PREFILTER = 0.15
"""Largest difference between two fingerprints of the same structure, in mean atomic spacings: twice what displacements
of 0.1 Å cause in a table of crystals (figure ``novelty-prefilter-largest-shift``)."""

PREFILTER_FROM = 6
"""Number of known structures of a formula from which fingerprints cost less than the comparisons they save."""


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
    :param matcher: options of pymatgen's ``StructureMatcher`` (``ltol``, ``stol``, ``angle_tol``, …).
    """

    def __init__(self, structures: Sequence[Structure] = (), **matcher: t.Any) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self._matcher = StructureMatcher(**matcher)
        self._structures: list[Structure] = []
        self._by_formula: dict[str, list[int]] = {}
        self._vectors: dict[int, NDArray[np.float64]] = {}
        for structure in structures:
            self.add(structure)

    def __len__(self) -> int:
        return len(self._structures)

    def add(self, structure: Structure) -> int:
        """Add a structure and return its index."""
        index = len(self._structures)
        self._structures.append(structure)
        if structure_problem(structure) is None:
            self._by_formula.setdefault(structure.composition.reduced_formula, []).append(index)
        return index

    def find(self, structure: Structure) -> int | None:
        """Return the index of a known structure that is the same as ``structure``, or ``None``."""
        if structure_problem(structure) is not None:
            return None
        members = self._by_formula.get(structure.composition.reduced_formula, [])
        if not members:
            return None
        for index in self._closest(structure, members) if len(members) >= PREFILTER_FROM else members:
            if self._matcher.fit(structure, self._structures[index]):
                return index
        return None

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


def find_duplicates(structures: Sequence[Structure], **matcher: t.Any) -> Clusters:
    """Return the clusters of equal structures, each represented by its first member.

    A structure joins the cluster whose representative it equals; an odd one (flat, disordered) is alone in its cluster.

    :param matcher: options of pymatgen's ``StructureMatcher``.
    """
    known = KnownStructures(**matcher)
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
