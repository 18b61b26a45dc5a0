"""Parser of :class:`~aiida_qagenai.calculations.models.tune_properties.TunePropertiesCalculation`."""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida_qagenai.calculations.models.tune_properties import TunePropertiesCalculation
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.parsers.base import MlParser, reading_outputs

__all__ = ('TunePropertiesParser',)


class TunePropertiesParser(MlParser):
    """Make a ``CheckpointData`` of the retrained heads and verify its checksum."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the checkpoint node."""
        checkpoint = self.require(folder / TunePropertiesCalculation.FOLDER_OUTPUT)
        with reading_outputs():
            self.out('checkpoint', CheckpointData(checkpoint, role='property'))
