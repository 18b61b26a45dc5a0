"""Parser of :class:`~aiida_qagenai.calculations.models.generate.GenerateCalculation`."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import numpy as np
from aiida.parsers import Parser

from aiida_qagenai.calculations.models.generate import GenerateCalculation
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import register_outputs
from aiida_qagenai.engine.bulk import store_outputs
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.parsers.base import MlParser, ParsingError, reading_outputs

__all__ = ('GenerateParser', 'store_candidates')


class GenerateParser(MlParser):
    """Make a ``CandidateData`` of every packed sample, and the ``DatasetData`` that packs them in the same order."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the candidates and their set."""
        path = self.require(folder / GenerateCalculation.FILENAME_OUTPUT)
        with reading_outputs():
            batch = StructureBatch.load(path)
        if len(batch) == 0:
            raise ParsingError('ERROR_NO_CANDIDATES', str(results.get('num_requested', 'many')))
        store_candidates(self, batch, 'generator')


def store_candidates(parser: Parser, batch: StructureBatch, origin: str, labels: t.Sequence[str] | None = None) -> None:
    """Store the structures of ``batch`` as the candidates of the cycle of the job, and the set that packs them.

    :param origin: what proposed them.
    :param labels: one for the node of each candidate, none by default.
    """
    cycle = parser.node.inputs.cycle.value
    names = np.array([candidate_name(cycle, index) for index in range(len(batch))])
    parser.out('candidate_set', DatasetData(dataclasses.replace(batch, identifiers=names)))
    candidates = {
        f'candidates__c{index:05d}': CandidateData(structure, cycle=cycle, index=index, origin=origin, label=label)
        for index, (structure, label) in enumerate(zip(batch.structures(), labels or [''] * len(batch), strict=True))
    }
    register_outputs(parser, store_outputs(parser.node, candidates))
