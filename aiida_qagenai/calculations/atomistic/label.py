"""Label structures with energies, forces and stresses of a potential."""

from __future__ import annotations

import typing as t

from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import ArrayData, RemoteData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation, potential_problem
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.tasks import parse

__all__ = ('LabelCalculation',)


class LabelCalculation(AtomisticCalculation):
    """Compute energies, forces and stresses of many structures on one level of theory, that of a named potential."""

    TASK = 'label'
    FILENAME_OUTPUT = 'labels.npz'
    FILES: t.ClassVar[dict[str, str]] = {'structures': 'structures.npz', 'output': FILENAME_OUTPUT, 'shards': 'shards'}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input('structures', valid_type=DatasetData, help='Structures to label, packed.')
        spec.input(
            'parent_folder',
            valid_type=RemoteData,
            required=False,
            help='Remote folder of a labelling that was cut, whose finished shards are copied and not computed again.',
        )
        spec.output(
            'labels',
            valid_type=ArrayData,
            required=False,
            help='Arrays `energies` (n,), eV per cell, `forces` (N, 3), eV/Å, and `stresses` (n, 3, 3), eV/Å3, in the '
            'order of the structures, NaN where a structure failed; attributes `level` (of theory) and `sha256`.',
        )
        spec.exit_code(530, 'ERROR_NOTHING_LABELLED', message='No structure could be labelled: {message}')

    @classmethod
    def validate_inputs(cls, value: dict[str, t.Any], _: t.Any) -> str | None:
        """Refuse a validator without its checkpoint; what a potential does not cover is reported by structure."""
        if 'parameters' not in value:
            return None
        potential = parse(cls.TASK, cls.complete(value['parameters'].get_dict())).potential
        return potential_problem(potential, (), value.get('checkpoint'))

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Say what to run, and which shards to copy."""
        calcinfo = super().prepare_for_submission(folder)
        if 'parent_folder' in self.inputs:
            parent = self.inputs.parent_folder
            shards = f'{parent.get_remote_path()}/{self.FILES["shards"]}'
            calcinfo.remote_copy_list = [(parent.computer.uuid, shards, self.FILES['shards'])]
        return calcinfo

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the structures and the checkpoint."""
        names = self.write_dataset(folder, self.FILENAME_STRUCTURES, self.inputs.structures)
        if 'checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_CHECKPOINT, self.inputs.checkpoint)
        return names
