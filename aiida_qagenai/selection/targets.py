"""What is asked for of a crystal beside its elements, and which of many crystals come near enough to it."""

from __future__ import annotations

import difflib
import itertools
import math
import re
import typing as t
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import DESCRIBED, FUNCTION, PREDICTED, Quantity, quantity

__all__ = (
    'AnyPredicted',
    'GapTarget',
    'JointTarget',
    'Predicted',
    'PredictedParts',
    'PredictedProperty',
    'PropertyTarget',
    'Target',
    'merit',
    'parse_target',
    'parts_of',
    'predict_parts',
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
                f'`{text}` is not a target: write band_gap=1.5, a window such as band_gap=1.2..1.8, metallic, or a '
                f'value or window of {", ".join(PREDICTED)}'
            )
            raise InvalidInputError(message)
        first = float(match[2])
        if match[3]:
            return cls(first, float(match[3]))
        return cls(max(0.0, first - HALF_WIDTH), first + HALF_WIDTH, first) if first else cls(0.0, 0.0)

    @property
    def tolerance(self) -> float:
        """Return the distance that counts as one, eV; of a metal, the probability."""
        return HALF_WIDTH if self.maximum else 1.0

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


_SIGNED = r'(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)'
_SIGNED_WINDOW = re.compile(rf'([\w.:]+)\s*=\s*{_SIGNED}(?:\s*\.\.\s*{_SIGNED})?')


class PropertyTarget(t.NamedTuple):
    """A property that is asked for: ``bulk_modulus=350``, which is a window of ± 10 %, or ``shear_modulus=80..120``.

    :param name: of ``QUANTITIES``, or that of a function.
    :param best: value that is wanted within the window, if there is one.
    """

    name: str
    minimum: float
    maximum: float
    best: float | None = None

    @classmethod
    def parse(cls, text: str, names: Iterable[str] = PREDICTED) -> PropertyTarget:
        """Return the target that a text stands for.

        :param names: of the properties that can be asked for, those of all heads by default.
        :raises InvalidInputError: if it is none.
        """
        match, names = _SIGNED_WINDOW.fullmatch(text.strip()), list(names)
        if match is None or match[1] not in names:
            raise InvalidInputError(_no_target(text, names))
        about = quantity(match[1])
        first, last = float(match[2]), float(match[3] or match[2])
        if first > last or (about.relative and not first > 0):
            positive = f'a {match[1].replace("_", " ")} is positive, and ' if about.relative else ''
            raise InvalidInputError(f'`{text}` is not a target: {positive}a window ends after it begins')
        if match[3]:
            return cls(match[1], first, last)
        if re.match(FUNCTION, match[1]):
            raise InvalidInputError(f'`{text}` is not a target: a function needs a window, {match[1]}=FROM..TO')
        half = about.tolerance * (first if about.relative else 1.0)
        return cls(match[1], first - half, first + half, first)

    @property
    def quantity(self) -> Quantity:
        """Return what is known about the property."""
        return quantity(self.name)

    @property
    def tolerance(self) -> float:
        """Return the distance that counts as one, as a ratio or in the unit."""
        return self.quantity.tolerance

    @property
    def text(self) -> str:
        """Return what :meth:`parse` reads."""
        return f'{self.name}={f"{self.minimum:g}..{self.maximum:g}" if self.best is None else f"{self.best:g}"}'

    def __str__(self) -> str:
        text = f'{self.name.replace("_", " ")} of {self.minimum:g} to {self.maximum:g}'
        return f'{text} {self.quantity.unit}'.rstrip()

    @property
    def wanted(self) -> float:
        """Return the value that is wanted: of a window the geometric mean, or the middle if it may be negative."""
        if self.best is not None:
            return self.best
        return math.sqrt(self.minimum * self.maximum) if self.quantity.relative else (self.minimum + self.maximum) / 2

    def holds(self, value: float) -> bool:
        """Return whether a value is within the window."""
        return self.minimum <= value <= self.maximum

    def contains(self, predicted: PredictedProperty) -> bool:
        """Return whether the property of a crystal is within the window."""
        return self.holds(predicted.values[self.name])

    def error(self, value: float, wanted: float | None = None) -> float:
        """Return how far a value is from the one that is wanted: as a share of it, or in the unit of the property.

        :param wanted: in place of that of the target.
        """
        wanted = self.wanted if wanted is None else wanted
        return abs(value / wanted - 1) if self.quantity.relative else abs(value - wanted)

    def away(self, value: float) -> float:
        """Return how far a value is from the one that is wanted, or from the window, as a ratio or in the unit."""
        if not self.quantity.relative:
            outside = max(self.minimum - value, value - self.maximum, 0.0)
            return outside if self.best is None else abs(value - self.best)
        if self.best is not None:
            return abs(math.log(value / self.best))
        return max(math.log(self.minimum / value), math.log(value / self.maximum), 0.0)

    def distance(self, predicted: PredictedProperty) -> float:
        """Return how far a crystal is from the target, see :meth:`away`."""
        return self.away(predicted.values[self.name])

    def deviation(self, predicted: PredictedProperty) -> float:
        """Return the root mean square distance that is expected with σ, in units of the tolerance."""
        sigma = predicted.sigma[self.name]
        expected = sigma / predicted.values[self.name] if self.quantity.relative else sigma
        return math.hypot(self.distance(predicted), expected) / self.quantity.tolerance


def _no_target(text: str, names: Sequence[str]) -> str:
    """Return why a text is not a target: the name that was meant, or those that there are."""
    name = text.partition('=')[0].strip()
    if name in names:
        return f'`{text}` is not a target: write {name}=VALUE or {name}=FROM..TO'
    close = difflib.get_close_matches(name, names, 1)
    hint = f'did you mean `{close[0]}`?' if close else f'write one of {", ".join(names)}, such as {names[0]}=100'
    return f'`{text}` is not a target: {hint}'


class PredictedProperty(t.NamedTuple):
    """The properties of a crystal by the heads of the package, or another checkpoint, by their names.

    :param sigma: standard deviations.
    """

    values: dict[str, float]
    sigma: dict[str, float]

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return {**self.values, **{f'{name}_sigma': value for name, value in self.sigma.items()}}


class Predicted(t.NamedTuple):
    """The band gap of a crystal at PBE by the model of the package: eV, 0 for a metal."""

    band_gap: float
    band_gap_sigma: float
    metal_probability: float

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return self._asdict()


class PredictedParts(t.NamedTuple):
    """What is predicted of a crystal for each part of a target, in their order."""

    parts: tuple[Predicted | PredictedProperty, ...]

    def record(self) -> dict[str, t.Any]:
        """Return the columns of a table."""
        return {name: value for part in self.parts for name, value in part.record().items()}


class JointTarget(t.NamedTuple):
    """Several properties that are asked for at once: ``band_gap=1.5, elf_high=0.1``. Distances are in tolerances."""

    parts: tuple[GapTarget | PropertyTarget, ...]

    @property
    def text(self) -> str:
        """Return what :func:`parse_target` reads."""
        return ', '.join(part.text for part in self.parts)

    def __str__(self) -> str:
        return ' and '.join(map(str, self.parts))

    def contains(self, predicted: PredictedParts) -> bool:
        """Return whether a crystal is within all windows."""
        return all(part.contains(each) for part, each in self._pairs(predicted))

    def distance(self, predicted: PredictedParts) -> float:
        """Return how far a crystal is from all that is wanted."""
        return math.hypot(*(part.distance(each) / part.tolerance for part, each in self._pairs(predicted)))

    def deviation(self, predicted: PredictedParts) -> float:
        """Return the root mean square distance that is expected with σ."""
        return math.hypot(*(part.deviation(each) for part, each in self._pairs(predicted)))

    def _pairs(self, predicted: PredictedParts) -> t.Iterator[tuple[t.Any, t.Any]]:
        return zip(self.parts, predicted.parts, strict=True)


Target = GapTarget | PropertyTarget | JointTarget
AnyPredicted = Predicted | PredictedProperty | PredictedParts


def parts_of(target: Target | None) -> tuple[GapTarget | PropertyTarget, ...]:
    """Return what a target asks for, one property each; nothing without a target."""
    if isinstance(target, JointTarget):
        return target.parts
    return () if target is None else (target,)


def predict_parts(
    target: JointTarget, predict: Callable[[GapTarget | PropertyTarget], Sequence[t.Any]]
) -> list[PredictedParts]:
    """Return what is predicted of crystals for all parts of a target; each model is asked once.

    :param predict: returns what the model of one part says of each crystal.
    """
    kinds = ['gap' if isinstance(part, GapTarget) else part.name in DESCRIBED for part in target.parts]
    found = {kind: predict(part) for kind, part in dict(zip(kinds, target.parts, strict=True)).items()}
    return [PredictedParts(each) for each in zip(*(found[kind] for kind in kinds), strict=True)]


def parse_target(text: str) -> Target:
    """Return the band gap or the property that a text asks for, or several with commas between.

    :raises InvalidInputError: if it is none, or asks for one property twice.
    """
    texts = [part.strip() for part in text.split(',') if part.strip()]
    if len(texts) < 2:
        return _parse_one(text)
    parts = tuple(_parse_one(each) for each in texts)
    names = ['band_gap' if isinstance(part, GapTarget) else part.name for part in parts]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise InvalidInputError(f'`{text}` is not a target: it asks for {twice[0]} twice')
    return JointTarget(parts)


def _parse_one(text: str) -> GapTarget | PropertyTarget:
    name = text.partition('=')[0].strip()
    if name in PREDICTED:
        return PropertyTarget.parse(text)
    names = ('band_gap', 'metallic', *PREDICTED)
    if name not in names and (close := difflib.get_close_matches(name, names, 1)):
        raise InvalidInputError(f'`{text}` is not a target: did you mean `{close[0]}`?')
    return GapTarget.parse(text)


PRIOR = 0.02
"""Power of the probability of a motif: of crystals as near to the target, the likelier one is preferred."""

UNBALANCED = 2.0
"""What a composition whose charges cannot balance costs, half widths."""

UNREAL = 0.7
"""Probability that a composition which balances in rare states at best has no gap; of unseen compounds of the Materials
Project 85 % have less than 0.5 eV at PBE (`benchmarks/conditioning.py`)."""


def merit(
    target: Target,
    predicted: AnyPredicted,
    *,
    balanced: bool,
    common: bool = True,
    probability: float = math.nan,
) -> float:
    """Return how well a crystal serves a target, the higher the better.

    A prediction that is far off or unsure costs its distance and σ in half widths.

    :param balanced: whether the charges of its composition can balance, or it is an alloy.
    :param common: whether they do in states that are not rare.
    :param probability: that the crystal exists, NaN if that is not known.
    """
    likely = math.log(max(probability, 1e-300)) if math.isfinite(probability) else 0.0
    deviation = target.deviation(predicted)  # type: ignore[arg-type]
    if not balanced:
        deviation += UNBALANCED
    if not common:
        deviation += _cost_of_no_gap(target, predicted)
    return PRIOR * likely - deviation


def _cost_of_no_gap(target: Target, predicted: AnyPredicted) -> float:
    """Return how much farther from a target a crystal is expected if the gap that it promises is not real."""
    if isinstance(target, JointTarget) and isinstance(predicted, PredictedParts):
        return sum(itertools.starmap(_cost_of_no_gap, zip(target.parts, predicted.parts, strict=True)))
    if not isinstance(target, GapTarget) or not isinstance(predicted, Predicted):
        return 0.0
    return UNREAL * max(0.0, target.error(0.0) - target.error(predicted.band_gap)) / HALF_WIDTH


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
