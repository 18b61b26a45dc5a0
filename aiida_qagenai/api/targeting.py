"""Steering by selection: of several samples per crystal that is wanted, those whose predicted property is asked for."""

from __future__ import annotations

import re
import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.prediction import GAPS, MODULI, gap_records, property_records
from aiida_qagenai.api.tasks import Runner
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.selection.design import PredictedProperty, PropertyTarget

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'GapTarget',
    'Predicted',
    'Target',
    'parse_target',
    'predicted_for',
    'predicted_gaps',
    'predicted_properties',
)

HALF_WIDTH = 0.3
"""Of the window around a single value, eV: about the error of the predicted gaps."""

_SHAPE = re.compile(r'band_gap\s*=\s*(\d+(?:\.\d+)?)(?:\s*\.\.\s*(\d+(?:\.\d+)?))?')


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
        match = _SHAPE.fullmatch(text.strip())
        if text.strip() == 'metallic':
            return cls(0.0, 0.0)
        if match is None or (match[2] and float(match[2]) < float(match[1])):
            message = (
                f'`{text}` is not a target: write band_gap=1.5, a window such as band_gap=1.2..1.8, metallic, or '
                'bulk_modulus=200'
            )
            raise InvalidInputError(message)
        first = float(match[1])
        if match[2]:
            return cls(first, float(match[2]))
        return cls(max(0.0, first - HALF_WIDTH), first + HALF_WIDTH, first) if first else cls(0.0, 0.0)

    def __str__(self) -> str:
        return 'metallic' if not self.maximum else f'band gap of {self.minimum:g} to {self.maximum:g} eV'

    def contains(self, predicted: Predicted) -> bool:
        """Return whether the gap of a crystal is within the window."""
        return self.minimum <= predicted.band_gap <= self.maximum

    def distance(self, predicted: Predicted) -> float:
        """Return how far a crystal is from the target: eV, or the probability that it is not the metal wanted."""
        if not self.maximum:
            return 1 - predicted.metal_probability
        if self.best is not None:
            return abs(predicted.band_gap - self.best)
        return max(self.minimum - predicted.band_gap, predicted.band_gap - self.maximum, 0.0)


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


def predicted_for(
    target: Target, structures: Sequence[Structure], run: Runner
) -> Sequence[Predicted] | Sequence[PredictedProperty]:
    """Return the property that a target is about, of crystals."""
    if isinstance(target, GapTarget):
        return predicted_gaps(structures, run)
    return predicted_properties(structures, run)


def predicted_gaps(structures: Sequence[Structure], run: Runner) -> list[Predicted]:
    """Return the band gaps of crystals.

    :param run: what runs the task.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        run('gaps', {'structures': 'structures.npz', 'output': GAPS}, folder, 'band gaps')
        records = gap_records(load_arrays(folder / GAPS))
    return [Predicted(each['gap_pbe'], each['gap_sigma_pbe'], each['metal_probability']) for each in records]


def predicted_properties(
    structures: Sequence[Structure], run: Runner, checkpoint: Path | None = None
) -> list[PredictedProperty]:
    """Return the properties of crystals.

    :param run: what runs the task.
    :param checkpoint: folder of property heads in place of those of the package.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        config = {
            'structures': 'structures.npz',
            'checkpoint': None if checkpoint is None else str(checkpoint.resolve()),
            'output': MODULI,
        }
        run('properties', config, folder, 'moduli')
        records = property_records(load_arrays(folder / MODULI))
    return [
        PredictedProperty(
            {name: record[name] for name in PROPERTIES}, {name: record[f'{name}_sigma'] for name in PROPERTIES}
        )
        for record in records
    ]
