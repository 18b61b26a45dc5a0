"""What is asked for of a crystal beside its elements, and which of many crystals come near enough to it."""

from __future__ import annotations

import math
import re
import typing as t
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES

__all__ = (
    'GapTarget',
    'Predicted',
    'PredictedProperty',
    'PropertyTarget',
    'Target',
    'merit',
    'parse_target',
    'varied',
)

HALF_WIDTH = 0.3
"""Of the window around a single value, eV: about the error of the predicted gaps."""

_NUMBER = r'(\d+(?:\.\d+)?)'
_WINDOW = re.compile(rf'(\w+)\s*=\s*{_NUMBER}(?:\s*\.\.\s*{_NUMBER})?')
"""A name and a value or a window: ``band_gap=1.5``, ``bulk_modulus=80..120``."""


class GapTarget(t.NamedTuple):
    """A band gap at PBE that is asked for, eV: ``band_gap=1.5``, the window ``band_gap=1.2..1.8``, or ``metallic``.

    :param minimum: of the window.
    :param maximum: of the window; 0 for a metal.
    :param best: value that is wanted within the window, if there is one.
    """

    minimum: float
    maximum: float
    best: float | None = None

    @classmethod
    def parse(cls, text: str) -> GapTarget:
        """Return the target that a text stands for.

        :raises InvalidInputError: if it is none.
        """
        match = _WINDOW.fullmatch(text.strip())
        if text.strip() == 'metallic':
            return cls(0.0, 0.0)
        if match is None or match[1] != 'band_gap' or (match[3] and float(match[3]) < float(match[2])):
            message = (
                f'`{text}` is not a target: write band_gap=1.5, a window such as band_gap=1.2..1.8, metallic, or '
                'bulk_modulus=200'
            )
            raise InvalidInputError(message)
        first = float(match[2])
        if match[3]:
            return cls(first, float(match[3]))
        return cls(max(0.0, first - HALF_WIDTH), first + HALF_WIDTH, first) if first else cls(0.0, 0.0)

    @property
    def text(self) -> str:
        """Return what :meth:`parse` reads."""
        if not self.maximum:
            return 'metallic'
        return f'band_gap={self.minimum:g}..{self.maximum:g}' if self.best is None else f'band_gap={self.best:g}'

    def __str__(self) -> str:
        return 'metallic' if not self.maximum else f'band gap of {self.minimum:g} to {self.maximum:g} eV'

    def contains(self, predicted: Predicted) -> bool:
        """Return whether the gap of a crystal is within the window."""
        return self.minimum <= predicted.band_gap <= self.maximum

    def distance(self, predicted: Predicted) -> float:
        """Return how far a crystal is from the target: eV, or the probability that it is not the metal wanted."""
        if not self.maximum:
            return 1 - predicted.metal_probability
        return self.error(predicted.band_gap)

    def error(self, gap: float) -> float:
        """Return how far a gap is from the one that is wanted, or from the window, eV."""
        return max(self.minimum - gap, gap - self.maximum, 0.0) if self.best is None else abs(gap - self.best)

    def deviation(self, predicted: Predicted) -> float:
        """Return the root mean square distance that is expected with σ, in units of ``HALF_WIDTH``."""
        return math.hypot(self.error(predicted.band_gap), predicted.band_gap_sigma) / HALF_WIDTH


TOLERANCE = 0.1
"""Half width of the window around a single modulus, as a share of it."""


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
        match = _WINDOW.fullmatch(text.strip())
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

    @property
    def text(self) -> str:
        """Return what :meth:`parse` reads."""
        return f'{self.name}={f"{self.minimum:g}..{self.maximum:g}" if self.best is None else f"{self.best:g}"}'

    def __str__(self) -> str:
        return f'{self.name.replace("_", " ")} of {self.minimum:g} to {self.maximum:g} {PROPERTIES[self.name]}'

    @property
    def wanted(self) -> float:
        """Return the value that is wanted, the geometric mean of a window."""
        return self.best or math.sqrt(self.minimum * self.maximum)

    def contains(self, predicted: PredictedProperty) -> bool:
        """Return whether the property of a crystal is within the window."""
        return self.minimum <= predicted.values[self.name] <= self.maximum

    def distance(self, predicted: PredictedProperty) -> float:
        """Return how far a crystal is from the target, as a ratio."""
        value = predicted.values[self.name]
        if self.best is not None:
            return abs(math.log(value / self.best))
        return max(math.log(self.minimum / value), math.log(value / self.maximum), 0.0)

    def deviation(self, predicted: PredictedProperty) -> float:
        """Return the root mean square distance that is expected with σ, in units of ``TOLERANCE``."""
        relative = predicted.sigma[self.name] / predicted.values[self.name]
        return math.hypot(self.distance(predicted), relative) / TOLERANCE


class PredictedProperty(t.NamedTuple):
    """The properties of a crystal by the heads of the package, or another checkpoint, by their names.

    :param sigma: standard deviations.
    """

    values: dict[str, float]
    sigma: dict[str, float]

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return {**self.values, **{f'{name}_sigma': value for name, value in self.sigma.items()}}


Target = GapTarget | PropertyTarget


def parse_target(text: str) -> Target:
    """Return the band gap or the property that a text asks for.

    :raises InvalidInputError: if it is none.
    """
    name = text.partition('=')[0].strip()
    return PropertyTarget.parse(text) if name in PROPERTIES else GapTarget.parse(text)


class Predicted(t.NamedTuple):
    """The band gap of a crystal at PBE by the model of the package: eV, 0 for a metal."""

    band_gap: float
    band_gap_sigma: float
    metal_probability: float

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return self._asdict()


PRIOR = 0.02
"""Power of the probability of a motif: of crystals as near to the target, the likelier one is preferred."""

UNBALANCED = 2.0
"""What a composition whose charges cannot balance costs, half widths: gaps that it promises are rarely real."""


def merit(
    target: Target, predicted: Predicted | PredictedProperty, *, balanced: bool, probability: float = math.nan
) -> float:
    """Return how well a crystal serves a target, the higher the better.

    A prediction that is far off or unsure costs its distance and σ in half widths.

    :param balanced: whether the charges of its composition can balance, or it is an alloy.
    :param probability: that the crystal exists, NaN if that is not known.
    """
    likely = math.log(max(probability, 1e-300)) if math.isfinite(probability) else 0.0
    deviation = target.deviation(predicted)  # type: ignore[arg-type]
    return PRIOR * likely - deviation - (0.0 if balanced else UNBALANCED)


def varied(order: Iterable[int], kinds: Sequence[Sequence[Hashable]], count: int, most: int) -> list[int]:
    """Return the first ``count`` of some crystals, at most ``most`` of one kind.

    :param order: indices of the crystals, the best first.
    :param kinds: what each crystal is an example of, such as its formula and its prototype.
    """
    numbers = Counter[Hashable]()
    taken: list[int] = []
    for index in order:
        if len(taken) < count and all(numbers[kind] < most for kind in kinds[index]):
            numbers.update(kinds[index])
            taken.append(index)
    return taken
