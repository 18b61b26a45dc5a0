"""Parser of :class:`aiida_qagenai.calculations.models.train.TrainCalculation`."""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.common.errors import QagenaiError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from aiida_qagenai.parsers.ml_base import MlParser, ParsingError

__all__ = ('TrainParser',)


class TrainParser(MlParser):
    """The folder of the checkpoint → one ``CheckpointData``, its checksum verified."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the checkpoint node."""
        checkpoint = folder / TrainCalculation.FOLDER_OUTPUT
        for name in (WEIGHTS_NAME, CONFIG_NAME):
            self.require(checkpoint / name)
        try:
            node = CheckpointData(checkpoint, role=self.node.inputs.parameters['role'])
        except QagenaiError as exception:
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', str(exception)) from exception
        self.out('checkpoint', node)
