"""How generated crystals relate to those of a motif library: replay, substitution or novel framework."""

from __future__ import annotations

import math
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.evaluation.novelty import Relation, RelationToKnown
from aiida_qagenai.motifs.library import MotifLibrary

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('LibraryRelations',)


class LibraryRelations:
    """Classifies crystals as ``evaluation.novelty`` does, against a library whose crystals are built only when needed.

    A crystal is compared with those of its formula and with its motif first, and only if it equals none of them with
    all of the same anonymous formula and cell size: the matcher needs as many atoms in both primitive cells.
    """

    def __init__(self, library: MotifLibrary) -> None:
        self._library = library
        self._families: dict[tuple[int, ...], RelationToKnown] = {}
        self._near: dict[tuple[str, str], RelationToKnown] = {}

    def classify(self, structure: Structure, motif: str = '') -> Relation | None:
        """Return the class of a structure; ``None`` if it is flat or not finite.

        :param motif: identifier of the crystal that it was made from.
        """
        formula = structure.composition.reduced_formula
        if (formula, motif) not in self._near:
            same = (self._library.formulas == formula) | (self._library.identifiers == motif)
            self._near[formula, motif] = self._relation(np.flatnonzero(same))
        found = self._near[formula, motif].classify(structure)
        return self._family(structure).classify(structure) if found == 'novel framework' else found

    def _family(self, structure: Structure) -> RelationToKnown:
        amounts = structure.get_primitive_structure().composition.get_el_amt_dict().values()
        counts = tuple(sorted(round(amount) for amount in amounts))
        if counts not in self._families:
            divisor = math.gcd(*counts)
            family = self._library.families.get(tuple(count // divisor for count in counts))
            indices = np.zeros(0, np.int64) if family is None else family.motifs[family.formula_units == divisor]
            self._families[counts] = self._relation(indices)
        return self._families[counts]

    def _relation(self, indices: NDArray[np.int64]) -> RelationToKnown:
        from pymatgen.core import Structure

        crystals = (self._library.crystal(int(index)) for index in indices)
        return RelationToKnown([Structure(each.cell, each.species, each.fractional) for each in crystals])
