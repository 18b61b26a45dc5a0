"""Parser of :class:`~aiida_qagenai.calculations.models.generate.GenerateCalculation`."""

from __future__ import annotations

import dataclasses
import math
import typing as t
from pathlib import Path

import numpy as np
from aiida.orm import ArrayData
from aiida.parsers import Parser
from numpy.typing import NDArray

from aiida_qagenai.calculations.models.generate import GenerateCalculation
from aiida_qagenai.data.candidate import CandidateData, Lineage, candidate_name
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import register_outputs
from aiida_qagenai.engine.bulk import store_outputs
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.parsers.base import MlParser, ParsingError, reading_outputs

__all__ = ('GenerateParser', 'store_candidates')


class GenerateParser(MlParser):
    """Make a ``CandidateData`` of every packed sample, and the ``DatasetData`` that packs them in the same order."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the candidates and their set."""
        path = self.require(folder / GenerateCalculation.FILENAME_OUTPUT)
        with reading_outputs():
            batch = StructureBatch.load(path)
            arrays = load_arrays(path)
            lineages = _lineages(arrays)
        if len(batch) == 0:
            raise ParsingError('ERROR_NO_CANDIDATES', str(results.get('num_requested', 'many')))
        if 'geometry_constraints' in arrays:
            self.out('geometry', _geometry(arrays))
        store_candidates(self, batch, 'generator', lineages=lineages)


def _geometry(arrays: dict[str, NDArray[t.Any]]) -> ArrayData:
    """Return what became of the geometric constraints."""
    node = ArrayData()
    for name in ('values', 'losses', 'satisfied', 'trajectories'):
        node.set_array(name, arrays[f'geometry_{name}'])
    node.base.attributes.set('constraints', arrays['geometry_constraints'].tolist())
    return node


def _lineages(arrays: dict[str, NDArray[t.Any]]) -> list[Lineage] | None:
    """Return the lineage of each sample, if requests asked for motifs."""
    if 'relation' not in arrays:
        return None
    columns = [arrays[name].tolist() for name in ('motif', 'motif_formula', 'probability', 'noise', 'relation')]
    return [
        Lineage(motif, formula, None if math.isnan(probability) else probability, noise, relation)
        for motif, formula, probability, noise, relation in zip(*columns, strict=True)
    ]


def store_candidates(
    parser: Parser,
    batch: StructureBatch,
    origin: str,
    labels: t.Sequence[str] | None = None,
    lineages: t.Sequence[Lineage] | None = None,
) -> None:
    """Store the structures of ``batch`` as the candidates of the cycle of the job, and the set that packs them.

    :param origin: what proposed them.
    :param labels: one for the node of each candidate, none by default.
    :param lineages: one for each candidate that began as a motif.
    """
    cycle = parser.node.inputs.cycle.value
    names = np.array([candidate_name(cycle, index) for index in range(len(batch))])
    parser.out('candidate_set', DatasetData(dataclasses.replace(batch, identifiers=names)))
    no_lineage: list[Lineage | None] = [None] * len(batch)
    columns = (batch.structures(), labels or [''] * len(batch), lineages or no_lineage)
    candidates = {
        f'candidates__c{index:05d}': CandidateData(
            structure, cycle=cycle, index=index, origin=origin, label=label, lineage=lineage
        )
        for index, (structure, label, lineage) in enumerate(zip(*columns, strict=True))
    }
    register_outputs(parser, store_outputs(parser.node, candidates))
