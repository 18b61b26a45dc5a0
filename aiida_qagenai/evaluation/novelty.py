"""Uniqueness, and how a generated crystal relates to known ones.

Structures are equal if pymatgen's matcher with its default tolerances maps one onto the other, as in the scripts of the
field. Unlike in screening, distortions of one parent are equal: noise cannot be told from them. A crystal is

``replay``
    if a known structure of its formula is equal to it,
``substitution``
    if a known structure is equal to it once elements have been exchanged (the same anonymous prototype),
``novel framework``
    otherwise. All but a replay is novel in the sense of the field.
"""

from __future__ import annotations

import collections
import itertools
import typing as t
from collections.abc import Iterator, Sequence

from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.species import plain_structure

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('CLASSES', 'MATCHER', 'Relation', 'RelationToKnown', 'anonymous_structures')

Relation = t.Literal['replay', 'substitution', 'novel framework']

CLASSES: tuple[Relation, ...] = ('replay', 'substitution', 'novel framework')
"""From the known to the new."""

MATCHER = 'equal: ltol 0.2, stol 0.3, angle_tol 5'
"""When two structures are equal, in words."""

_NAMES = tuple(symbol for symbol in SYMBOLS if symbol not in {'He', 'Ne', 'Ar'})
"""Elements that stand for those of a framework; pymatgen warns of the ones without an electronegativity."""

MAX_ASSIGNMENTS = 24
"""Ways to name the elements of a framework that are tried: all of those with up to four of one amount."""


class RelationToKnown:
    """A set of known structures that others are compared with.

    :param known: ordered structures; odd ones match nothing.
    """

    def __init__(self, known: Sequence[Structure]) -> None:
        self._structures = KnownStructures(known, distortions=False)
        frameworks = [next(anonymous_structures(item)) for item in known if _is_proper(item)]
        self._frameworks = KnownStructures(frameworks, distortions=False)

    def __len__(self) -> int:
        return len(self._structures)

    def classify(self, structure: Structure) -> Relation | None:
        """Return the class of a structure, ``None`` if it is disordered, flat, or not finite."""
        if not _is_proper(structure):
            return None
        if self._structures.find(structure) is not None:
            return 'replay'
        named = itertools.islice(anonymous_structures(structure), MAX_ASSIGNMENTS)
        return 'substitution' if any(self._frameworks.find(item) is not None for item in named) else 'novel framework'


def anonymous_structures(structure: Structure) -> Iterator[Structure]:
    """Yield a structure with its elements named by their amounts, the rarest first: H, Li, Be, …

    Elements of one amount can be named in several orders; all of them follow the first.
    """
    plain = plain_structure(structure)
    amounts = collections.Counter(plain.atomic_numbers)
    ranked = sorted(amounts, key=lambda number: (amounts[number], number))
    groups = [list(group) for _, group in itertools.groupby(ranked, key=amounts.__getitem__)]
    for order in itertools.product(*(itertools.permutations(group) for group in groups)):
        names = dict(zip(itertools.chain(*order), _NAMES, strict=False))
        species = [names[number] for number in plain.atomic_numbers]
        yield type(plain)(plain.lattice, species, plain.frac_coords)


def _is_proper(structure: Structure) -> bool:
    return structure_problem(plain_structure(structure)) is None
