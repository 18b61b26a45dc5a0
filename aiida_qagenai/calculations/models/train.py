"""Train or fine-tune a model on a training set."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, MEMORY_NAME, WEIGHTS_NAME

__all__ = ('TrainCalculation',)

ROLES = ('descriptor', 'generator', 'validator')


class TrainCalculation(MlCalculation):
    """Train a model on a dataset, optionally from the weights of a checkpoint."""

    TASK = 'train'
    CACHE_VERSION = MlCalculation.CACHE_VERSION + 1
    FILENAME_DATASET = 'dataset.npz'
    FOLDER_INITIAL = 'initial'
    FOLDER_OUTPUT = 'checkpoint'
    FILES: t.ClassVar[dict[str, str]] = {'dataset': FILENAME_DATASET, 'output': FOLDER_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input(
            'dataset',
            valid_type=DatasetData,
            validator=validate_dataset,
            help='Training set: structures with energies.',
        )
        spec.input(
            'initial_checkpoint',
            valid_type=CheckpointData,
            required=False,
            help='Checkpoint whose weights the training starts from.',
        )
        spec.output('checkpoint', valid_type=CheckpointData, required=False, help='Checkpoint of the trained model.')
        spec.inputs.validator = validate_inputs

    def configuration(self) -> dict[str, t.Any]:
        """Return the parameters with the names of the files."""
        initial = self.FOLDER_INITIAL if 'initial_checkpoint' in self.inputs else None
        return {**super().configuration(), 'initial_checkpoint': initial}

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the packed training set and the initial checkpoint."""
        names = self.write_dataset(folder, self.FILENAME_DATASET, self.inputs.dataset)
        if 'initial_checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_INITIAL, self.inputs.initial_checkpoint)
        return names

    def output_files(self) -> list[str]:
        """Return the files of the checkpoint, the last of which only a validator has."""
        return [f'{self.FOLDER_OUTPUT}/{name}' for name in (WEIGHTS_NAME, CONFIG_NAME, MEMORY_NAME)]


def validate_dataset(value: DatasetData, _: t.Any) -> str | None:
    """Refuse a set of candidates without energies."""
    if not value.labelled or not any(value.counts.values()):
        return 'the dataset holds no energies: build a training set from computed energies first'
    return None


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse an unknown role and an initial checkpoint of another role."""
    parameters = value.get('parameters')
    if parameters is None:
        return None
    role = parameters.get_dict().get('role')
    if role not in ROLES:
        return f'`parameters.role` is {role!r}: choose from {", ".join(ROLES)}'
    checkpoint = value.get('initial_checkpoint')
    if checkpoint is not None and checkpoint.role != role:
        return f'`initial_checkpoint` has the role `{checkpoint.role}`, but a {role} is to be trained'
    return None
