"""Inverse design: which property is wanted, and which proposals are computed."""

from __future__ import annotations

import math
import re
import typing as t
from collections import Counter
from collections.abc import Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'MODULI',
    'PredictedProperty',
    'PropertyTarget',
    'generation_of_round',
    'nearest',
    'unseen',
)

MODULI = {'bulk_modulus': 'bulk_modulus_vrh', 'shear_modulus': 'shear_modulus_vrh'}
"""Property → what the elastic tensor calls it."""

PER_FORMULA = 2
"""Most crystals of one formula in one round."""

TOLERANCE = 0.1
"""Half width of the window around a single modulus, as a share of it."""

_NUMBER = r'(\d+(?:\.\d+)?)'
_PROPERTY = re.compile(rf'(\w+)\s*=\s*{_NUMBER}(?:\s*\.\.\s*{_NUMBER})?')


class PropertyTarget(t.NamedTuple):
    """A property that is asked for: ``bulk_modulus=350``, which is a window of ± 10 %, or ``shear_modulus=80..120``.

    :param name: of ``PROPERTIES``.
    :param best: value that is wanted within the window, if there is one.
    """

    name: str
    minimum: float
    maximum: float
    best: float | None = None

    @classmethod
    def parse(cls, text: str) -> PropertyTarget:
        """Return the target that a text stands for.

        :raises InvalidInputError: if it is none.
        """
        match = _PROPERTY.fullmatch(text.strip())
        if match is None or match[1] not in PROPERTIES:
            raise InvalidInputError(
                f'`{text}` is not a target: write {" or ".join(f"{name}=100" for name in PROPERTIES)}'
            )
        first, last = float(match[2]), float(match[3] or match[2])
        if not 0 < first <= last:
            raise InvalidInputError(
                f'`{text}` is not a target: a modulus is positive, and a window ends after it begins'
            )
        if match[3]:
            return cls(match[1], first, last)
        return cls(match[1], first * (1 - TOLERANCE), first * (1 + TOLERANCE), first)

    def __str__(self) -> str:
        return f'{self.name.replace("_", " ")} of {self.minimum:g} to {self.maximum:g} {PROPERTIES[self.name]}'

    def contains(self, predicted: PredictedProperty) -> bool:
        """Return whether the property of a crystal is within the window."""
        return self.minimum <= predicted.values[self.name] <= self.maximum

    def distance(self, predicted: PredictedProperty) -> float:
        """Return how far a crystal is from the target, as a ratio."""
        value = predicted.values[self.name]
        if self.best is not None:
            return abs(math.log(value / self.best))
        return max(math.log(self.minimum / value), math.log(value / self.maximum), 0.0)


class PredictedProperty(t.NamedTuple):
    """The properties of a crystal by the heads of the package, or another checkpoint, by their names.

    :param sigma: standard deviations.
    """

    values: dict[str, float]
    sigma: dict[str, float]

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return {**self.values, **{f'{name}_sigma': value for name, value in self.sigma.items()}}


def generation_of_round(
    systems: Sequence[Sequence[str]], *, number: int, seed: int, per_system: int, max_atoms: int, novelty: float
) -> dict[str, t.Any]:
    """Return the ``requests`` and the ``seed`` of the generation of a round, as the task ``generate`` takes them.

    :param number: of the round, from 0.
    :param per_system: samples of each chemical system.
    :param max_atoms: in the cell.
    :param novelty: noise that is added to known crystals.
    """
    common = {'mode': 'motifs', 'count': per_system, 'max_atoms': max_atoms, 'novelty': novelty, 'otherwise': 'noise'}
    return {'requests': [{**common, 'elements': list(system)} for system in systems], 'seed': seed + 1000 * number}


def unseen(proposed: Sequence[Structure], earlier: Sequence[Structure]) -> list[int]:
    """Return the indices of the proposals without duplicates and without those of earlier rounds."""
    from aiida_qagenai.chemistry.duplicates import KnownStructures, find_duplicates

    kept = find_duplicates(proposed, distortions=False).representatives
    known = KnownStructures(list(earlier), distortions=False)
    return [index for index in kept if known.find(proposed[index]) is None]


def nearest(
    target: PropertyTarget, formulas: Sequence[str], predicted: Sequence[PredictedProperty], count: int
) -> list[int]:
    """Return the indices of the crystals nearest to the target, at most ``PER_FORMULA`` of one formula.

    :param count: most crystals.
    """
    taken: list[int] = []
    numbers = Counter[str]()
    for index in sorted(range(len(formulas)), key=lambda index: target.distance(predicted[index])):
        if numbers[formulas[index]] < PER_FORMULA and len(taken) < count:
            numbers[formulas[index]] += 1
            taken.append(index)
    return taken
