"""Two calculations that create and read batches, at the smallest size that still runs through the engine."""

from __future__ import annotations

import typing as t

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.engine import CalcJob, calcfunction
from aiida.orm import Dict, Int
from aiida.parsers import Parser
from pymatgen.core import Structure

from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.io.structures import StructureBatch
from aiida_qagenai.provenance.batch import BatchMixin, bulk_inputs, register_outputs
from aiida_qagenai.provenance.bulk import linked_uuids, store_outputs


def rock_salt(index: int) -> Structure:
    """Return LiH in the rock salt structure, a little larger with each index."""
    half = 2.0 + 0.005 * index
    return Structure([[0, half, half], [half, 0, half], [half, half, 0]], ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


def make_candidates(n: int, cycle: int = 1) -> dict[str, CandidateData]:
    """Return label → unstored candidate."""
    return {
        f'candidates__c{index:05d}': CandidateData(rock_salt(index), cycle=cycle, index=index, origin='toy')
        for index in range(n)
    }


def make_set(n: int, cycle: int = 1) -> DatasetData:
    """Return the set node of the first ``n`` candidates."""
    names = [f'{cycle:03d}-{index:05d}' for index in range(n)]
    return DatasetData(StructureBatch.from_structures([rock_salt(index) for index in range(n)], names))


def make_prediction(uuid: str, index: int, cycle: int = 1) -> PredictionData:
    """Return an unstored prediction for a candidate."""
    energies = {f'energy_{name}': -0.5 for name in ('pbe', 'scan', 'hse06', 'ccsdt')}
    sigmas = {f'sigma_{name}': 0.02 for name in ('pbe', 'scan', 'hse06', 'ccsdt')}
    return PredictionData(
        candidate_uuid=uuid,
        cycle=cycle,
        index=index,
        **energies,
        **sigmas,
        divergence_signed=0.01 * index,
        divergence_sigma=0.02,
        out_of_distribution=False,
        distance_to_training=0.1,
    )


class Toy(BatchMixin, CalcJob):
    """A job that does nothing: what matters is what its parser stores."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input('parameters', valid_type=Dict)
        spec.inputs['metadata']['options']['resources'].default = {'num_machines': 1}

    def prepare_for_submission(self, folder):
        info = CalcInfo()
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        info.codes_info = [code]
        info.retrieve_list = []
        return info


class GenerateToy(Toy):
    """Creates candidates and their set."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.output_namespace('candidates', dynamic=True, valid_type=CandidateData)
        spec.output('candidate_set', valid_type=DatasetData)
        spec.inputs['metadata']['options']['parser_name'].default = 'qagenai.toy_generate'


class PredictToy(Toy):
    """Creates one prediction per candidate of a set."""

    MEMBERS: t.ClassVar = {'members': ('candidate_set', 'candidates')}

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input('candidate_set', valid_type=DatasetData)
        spec.output_namespace('predictions', dynamic=True, valid_type=PredictionData)
        spec.inputs['metadata']['options']['parser_name'].default = 'qagenai.toy_predict'


class GenerateParser(Parser):
    """Stores the candidates in bulk and the set in the ordinary way."""

    def parse(self, **kwargs):
        n = self.node.inputs.parameters['n']
        register_outputs(self, store_outputs(self.node, make_candidates(n)))
        self.out('candidate_set', make_set(n))


class PredictParser(Parser):
    """Stores the predictions in bulk."""

    def parse(self, **kwargs):
        members = linked_uuids(self.node, namespace='members')
        predictions = {
            f'predictions__{label}': make_prediction(uuid, int(label[1:])) for label, uuid in members.items()
        }
        register_outputs(self, store_outputs(self.node, predictions))


@bulk_inputs('candidates', 'predictions')
@calcfunction
def count_members(parameters: Dict, **kwargs) -> Int:
    """Return how many members there are."""
    return Int(len(kwargs['candidates']) + len(kwargs.get('predictions', {})) + parameters['offset'])
