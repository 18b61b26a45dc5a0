"""Configuration files of the commands of the property heads."""

from __future__ import annotations

from pathlib import Path

import pydantic

from aiida_qagenai.common.properties import COMPUTED_WEIGHT
from aiida_qagenai.exchange.runtime import RuntimeConfig

__all__ = ('PropertyConfig', 'PropertyTuning')


class PropertyConfig(RuntimeConfig):
    """Prediction of properties of crystals.

    :param structures: packed crystals.
    :param checkpoint: property head; the one that comes with the package if not given.
    :param energies: whether formation energies by the validator are written as well.
    :param descriptors: whether quantum descriptors are predicted, and neither moduli nor energies.
    """

    structures: Path
    checkpoint: Path | None = None
    energies: bool = False
    descriptors: bool = False
    output: Path = Path('properties.npz')

    @pydantic.model_validator(mode='after')
    def _check(self) -> PropertyConfig:
        if self.descriptors and (self.energies or self.checkpoint is not None):
            raise ValueError('`descriptors` takes neither a `checkpoint` of moduli nor `energies`')
        return self


class PropertyTuning(RuntimeConfig):
    """Retraining of a property head with further crystals.

    :param structures: packed crystals.
    :param labels: NPZ file with an array for each property, shape (n,), NaN where there is no label.
    :param checkpoint: property head to start from; the one that comes with the package if not given.
    :param weight: of a new crystal beside one of the first training set.
    :param output: folder of the checkpoint to write.
    """

    structures: Path
    labels: Path
    checkpoint: Path | None = None
    weight: float = pydantic.Field(COMPUTED_WEIGHT, gt=0, le=1000)
    output: Path = Path('checkpoint')
