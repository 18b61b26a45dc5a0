"""Base class of the jobs of ``aiida_qagenai.ml``: one command, one JSON configuration, one JSON result."""

from __future__ import annotations

import io
import json
import typing as t
from abc import abstractmethod

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.orm import Dict

from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.jobs import RecoveryMixin
from aiida_qagenai.exchange.tasks import parse

__all__ = ('MlCalculation',)


class MlCalculation(RecoveryMixin, CalcJob):
    """Run ``python -m aiida_qagenai.ml TASK --config config.json`` on the computer of the code.

    That computer needs this package without AiiDA, and torch: ``pip install --no-deps aiida-qagenai``.
    """

    TASK: t.ClassVar[str]
    """Name of the task, and of the entry points of the calculation and its parser."""
    FILES: t.ClassVar[dict[str, str]]
    """Keys of the configuration that name files: set by the job, never by the caller."""
    FILENAME_OUTPUT: t.ClassVar[str]
    """File that becomes the output nodes, unless ``output_files`` names others."""
    FILENAME_CONFIG = 'config.json'
    FILENAME_RESULTS = 'results.json'
    FILENAME_STDOUT = 'aiida.out'
    FILENAME_LABELS = 'labels.npz'
    CACHE_VERSION = 1
    MACHINE_FAILURES: t.ClassVar[frozenset[int]] = frozenset({140, 310, 311})
    """Exit statuses of a job that the machine ended (node failure, cancelled): a work chain submits it again."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports that all of these jobs share."""
        super().define(spec)
        spec.input(
            'parameters',
            valid_type=Dict,
            validator=validator(cls.check_parameters),
            help='Configuration of the task without the names of its files, see `aiida_qagenai.exchange.tasks`.',
        )
        options = spec.inputs['metadata']['options']
        options['resources'].default = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
        options['parser_name'].default = f'qagenai.{cls.TASK}'
        options['withmpi'].default = False
        spec.inputs['code'].required = True
        spec.output(
            'results',
            valid_type=Dict,
            required=False,
            help='Metrics, history, versions, timings and counts of the task.',
        )
        spec.exit_code(210, 'ERROR_INVALID_INPUT', message='The task refused its input: {message}')
        spec.exit_code(211, 'ERROR_CORRUPT_FILE', message='The task could not read a file: {message}')
        # What the machine did to the job must not come back from the cache.
        for status, label, message in (
            (310, 'ERROR_RESULTS_MISSING', 'results.json was not retrieved: see the standard error.'),
            (311, 'ERROR_RESULTS_UNREADABLE', 'results.json is truncated or not JSON: {message}'),
            (312, 'ERROR_OUTPUT_FILE_MISSING', 'The task succeeded without writing {message}.'),
            (313, 'ERROR_OUTPUT_FILE_CORRUPT', 'An output file cannot be read: {message}'),
            (320, 'ERROR_INTERNAL', 'The task ended with an unexpected error: {message}'),
            (420, 'ERROR_OUT_OF_MEMORY', 'The task ran out of memory: lower batch_size. {message}'),
        ):
            spec.exit_code(status, label, message=message, invalidates_cache=True)
        spec.exit_code(520, 'ERROR_NON_FINITE', message='The numbers of the model are not finite: {message}')

    @classmethod
    def define_labels(cls, spec: CalcJobProcessSpec) -> None:
        """Add the training set that the models of band gaps and descriptors learn from."""
        spec.input(
            'labels',
            valid_type=DatasetData,
            required=False,
            help='Training set whose computed gaps and descriptors at PBE the models that come with the package learn '
            'from, where these are asked for.',
        )

    @classmethod
    def check_parameters(cls, values: dict[str, t.Any]) -> None:
        """Check a configuration as the task would.

        :raises InvalidInputError: listing every problem.
        """
        parse(cls.TASK, {**values, **cls.FILES})

    def configuration(self) -> dict[str, t.Any]:
        """Return the configuration: the parameters and the names of the files written beside it."""
        labels = {'labels': self.FILENAME_LABELS} if 'labels' in self.inputs else {}
        return {**self.inputs.parameters.get_dict(), **self.FILES, **labels}

    def write_labels(self, folder: Folder) -> list[str]:
        """Write the training set that the models of band gaps and descriptors learn from, if there is one."""
        if 'labels' not in self.inputs:
            return []
        return self.write_dataset(folder, self.FILENAME_LABELS, self.inputs.labels)

    @abstractmethod
    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the input files and return their names: they stay out of the provenance, their nodes are linked."""

    def output_files(self) -> list[str]:
        """Return the files that become nodes: retrieved for the parser only."""
        return [self.FILENAME_OUTPUT]

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the configuration and the inputs, and say what to run and to retrieve."""
        exclude = self.write_inputs(folder)
        with folder.open(self.FILENAME_CONFIG, 'w', encoding='utf8') as handle:
            json.dump(self.configuration(), handle, indent=2, sort_keys=True)
        codeinfo = CodeInfo()
        codeinfo.cmdline_params = ['-m', 'aiida_qagenai.ml', self.TASK, '--config', self.FILENAME_CONFIG]
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.stdout_name = self.FILENAME_STDOUT
        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.provenance_exclude_list = exclude
        calcinfo.retrieve_list = [self.FILENAME_RESULTS, self.FILENAME_STDOUT]
        # The depth keeps the folders of the paths, which would be dropped otherwise.
        calcinfo.retrieve_temporary_list = [(path, '.', path.count('/') + 1) for path in self.output_files()]
        return calcinfo

    @staticmethod
    def write_checkpoint(folder: Folder, name: str, checkpoint: CheckpointData) -> list[str]:
        """Write ``checkpoint`` to the sub folder ``name`` and return the paths of its files."""
        folder.get_subfolder(name, create=True)
        checkpoint.write(folder.get_abs_path(name))
        return [f'{name}/{path}' for path in checkpoint.base.repository.list_object_names()]

    @staticmethod
    def write_dataset(folder: Folder, name: str, dataset: DatasetData) -> list[str]:
        """Write the packed file of ``dataset`` as ``name``."""
        if dataset.labelled:
            dataset.labels().save(folder.get_abs_path(name))
        else:
            folder.create_file_from_filelike(io.BytesIO(dataset.content), name, mode='wb')
        return [name]
