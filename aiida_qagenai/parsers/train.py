"""Parser of :class:`~aiida_qagenai.calculations.models.train.TrainCalculation`."""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from aiida_qagenai.parsers.base import MlParser, reading_outputs

__all__ = ('TrainParser',)


class TrainParser(MlParser):
    """Make a ``CheckpointData`` of the folder of the checkpoint and verify its checksum."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the checkpoint node."""
        checkpoint = folder / TrainCalculation.FOLDER_OUTPUT
        for name in (WEIGHTS_NAME, CONFIG_NAME):
            self.require(checkpoint / name)
        with reading_outputs():
            node = CheckpointData(checkpoint, role=self.node.inputs.parameters['role'])
        self.out('checkpoint', node)
