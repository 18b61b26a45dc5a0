"""Predict formation energies on every level with calibrated uncertainty."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import ArrayData

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine.batch import BatchMixin
from aiida_qagenai.exchange.structures import StructureBatch

__all__ = ('PredictCalculation',)


class PredictCalculation(BatchMixin, MlCalculation):
    """Predict the energies of candidates with the validator, one prediction per candidate, under its label.

    The structures of ``competing`` and ``known_phases`` are predicted in the same run, because a hull may only hold
    energies of one level of theory by one model.
    """

    TASK = 'predict'
    CACHE_VERSION = 2
    MEMBERS: t.ClassVar[dict[str, tuple[str, str]]] = {'members': ('candidate_set', 'candidates')}
    FOLDER_VALIDATOR = 'validator'
    FILENAME_STRUCTURES = 'structures.npz'
    FILENAME_OUTPUT = 'predictions.npz'
    FILES: t.ClassVar[dict[str, str]] = {
        'validator': FOLDER_VALIDATOR,
        'structures': FILENAME_STRUCTURES,
        'output': FILENAME_OUTPUT,
    }

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input(
            'validator',
            valid_type=CheckpointData,
            validator=checkpoint_validator('validator'),
            help='Checkpoint of the validator.',
        )
        spec.input('candidate_set', valid_type=DatasetData, help='Candidates, packed.')
        spec.input(
            'competing',
            valid_type=DatasetData,
            required=False,
            help='Structures that were computed in the same chemical system, predicted as well.',
        )
        spec.input(
            'known_phases',
            valid_type=DatasetData,
            required=False,
            help='Known crystals of the same chemical system, predicted as well, after those of `competing`.',
        )
        cls.define_labels(spec)
        spec.output_namespace(
            'predictions',
            valid_type=PredictionData,
            required=False,
            help='One prediction per candidate, under the label of the candidate.',
        )
        spec.output(
            'arrays',
            valid_type=ArrayData,
            required=False,
            help='Arrays `features` (n, d) of candidates and `competing_energies` (m, 4), eV/atom, of the structures '
            'of `competing` and `known_phases`.',
        )

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the checkpoint and all structures: the candidates first, then those that compete with them."""
        names = self.write_checkpoint(folder, self.FOLDER_VALIDATOR, self.inputs.validator)
        batches = [self.inputs.candidate_set.structures()]
        batches += [self.inputs[name].structures() for name in ('competing', 'known_phases') if name in self.inputs]
        StructureBatch.concatenate(batches).save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        return [*names, self.FILENAME_STRUCTURES, *self.write_labels(folder)]
