"""Candidates from a generator of others: any program that writes crystals in files."""

from __future__ import annotations

import fnmatch
import json
import typing as t
from collections.abc import Iterator
from pathlib import PurePosixPath

import pydantic
import yaml
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.orm import Dict, FolderData, Int, SinglefileData
from pymatgen.core import Element

from aiida_qagenai.calculations.models.candidates import define_candidates
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.engine.batch import BatchMixin
from aiida_qagenai.engine.jobs import RecoveryMixin
from aiida_qagenai.exchange.readers.formats import FORMATS_AND_ARCHIVES, format_of
from aiida_qagenai.exchange.readers.proposals import Limits

__all__ = ('ExternalGenerateCalculation', 'ExternalGenerateParameters', 'files_problem')

SEED = '{seed}'
"""Text in arguments and configuration files in place of which the seed is written."""

Argument = t.Annotated[str, pydantic.Field(coerce_numbers_to_str=True)]


def check_path(path: str) -> str:
    """Check that a path stays within the folder of the job.

    :raises ValueError: if it does not.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(('/', '~')) or '..' in parts or not path.isprintable():
        raise ValueError(f'`{path}` is not a relative path without `..`')
    return path


class ExternalGenerateParameters(StrictModel):
    """What a program is told, and which of its files are read."""

    program: str = pydantic.Field(
        min_length=1, max_length=100, description='Name of the program, recorded as the origin of its candidates'
    )
    arguments: tuple[Argument, ...] = pydantic.Field(
        (), description='Arguments of the program, one by one; `{seed}` stands for the seed'
    )
    config: dict[str, t.Any] = pydantic.Field(
        default_factory=dict,
        description='Configuration files by their names: content for .json and .yaml, text for others; `{seed}` stands '
        'for the seed',
    )
    outputs: tuple[str, ...] = pydantic.Field(
        min_length=1, description='Files with crystals, as paths or patterns such as `out/*.cif`'
    )
    version: str | None = pydantic.Field(None, min_length=1, description='Version of the program')
    version_arguments: tuple[Argument, ...] | None = pydantic.Field(
        None, description='Arguments with which the program prints its version: `[--version]`'
    )
    elements: tuple[str, ...] | None = pydantic.Field(
        None, min_length=1, description='Elements that may occur in candidates; all by default'
    )
    max_atoms: int | None = pydantic.Field(None, ge=1, description='Most atoms in the cell of a candidate')
    primitive: bool = pydantic.Field(True, description='Reduce crystals to their primitive cells')
    min_structures: int = pydantic.Field(1, ge=1, description='Fewest usable crystals; fewer are a failure')

    @pydantic.field_validator('outputs')
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Check that the name of every output tells its format, before the program has run for hours."""
        for pattern in value:
            if format_of(check_path(pattern)) is None:
                message = f'the name `{pattern}` does not tell the format of the file: known are {FORMATS_AND_ARCHIVES}'
                raise ValueError(message)
        return value

    @pydantic.field_validator('config')
    @classmethod
    def _writable(cls, value: dict[str, t.Any]) -> dict[str, t.Any]:
        """Check that every configuration is a file in the folder of the job that can be written."""
        for name, content in value.items():
            if len(PurePosixPath(check_path(name)).parts) != 1:
                raise ValueError(f'`{name}` is not the name of a file without folders')
            if not isinstance(content, str) and not name.endswith(('.json', '.yaml', '.yml')):
                raise ValueError(f'`{name}` is neither .json nor .yaml: give its content as text')
        return value

    @pydantic.field_validator('elements')
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Check the symbols."""
        unknown = [symbol for symbol in value or () if not Element.is_valid_symbol(symbol)]
        if unknown:
            raise ValueError(f'unknown element {", ".join(unknown)}')
        return value

    @pydantic.model_validator(mode='after')
    def _one_version(self) -> ExternalGenerateParameters:
        """Check that the version has one source."""
        if self.version is not None and self.version_arguments is not None:
            raise ValueError('give either `version` or `version_arguments`')
        return self

    @property
    def limits(self) -> Limits:
        """Return what a candidate may be."""
        return Limits(self.elements, self.max_atoms, self.primitive)

    @property
    def is_seeded(self) -> bool:
        """Return whether the seed reaches the program."""
        return SEED in json.dumps([self.arguments, self.config])

    def command(self, seed: int) -> list[str]:
        """Return the arguments with the seed in its place."""
        return [argument.replace(SEED, str(seed)) for argument in self.arguments]

    def config_texts(self, seed: int) -> Iterator[tuple[str, str]]:
        """Yield the name and the text of each configuration file, with the seed in its place."""
        for name, content in self.config.items():
            if isinstance(content, str):
                yield name, content.replace(SEED, str(seed))
            elif name.endswith('.json'):
                yield name, json.dumps(with_seed(content, seed), indent=2, sort_keys=True) + '\n'
            else:
                yield name, yaml.safe_dump(with_seed(content, seed), allow_unicode=True)


def with_seed(content: t.Any, seed: int) -> t.Any:
    """Return ``content`` with the seed in its place: as a number where a text is nothing else."""
    if isinstance(content, dict):
        return {key: with_seed(value, seed) for key, value in content.items()}
    if isinstance(content, list):
        return [with_seed(value, seed) for value in content]
    if isinstance(content, str):
        return seed if content == SEED else content.replace(SEED, str(seed))
    return content


class ExternalGenerateCalculation(BatchMixin, RecoveryMixin, CalcJob):
    """Run a program that writes crystals, and make candidates of all that can be used.

    The outputs are those of ``GenerateCalculation``: prediction, screening and campaigns take them as they take ours.
    """

    FILENAME_STDOUT = 'aiida.out'
    FILENAME_STDERR = 'aiida.err'
    FILENAME_VERSION = 'aiida.version'
    CACHE_VERSION = 1
    MACHINE_FAILURES: t.ClassVar[frozenset[int]] = frozenset({140})
    """Exit statuses of a job that the machine ended (node failure): a work chain submits it again."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input(
            'parameters',
            valid_type=Dict,
            validator=validator(cls.check_parameters),
            help='Arguments, configuration files and outputs of the program, see `ExternalGenerateParameters`.',
        )
        spec.input(
            'seed',
            valid_type=Int,
            validator=validator(check_seed),
            help='Seed of the random numbers, written in place of `{seed}`. A program that takes no seed still needs '
            'one: it tells one run from the next.',
        )
        spec.input_namespace(
            'files',
            valid_type=(SinglefileData, FolderData),
            dynamic=True,
            required=False,
            help='Files that the program reads: a single file under its own name, a folder under its label.',
        )
        define_candidates(spec)
        spec.inputs.validator = validate_inputs
        options = spec.inputs['metadata']['options']
        options['resources'].default = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
        options['parser_name'].default = 'qagenai.external_generate'
        options['withmpi'].default = False
        spec.inputs['code'].required = True
        spec.output(
            'results',
            valid_type=Dict,
            required=False,
            help='Program, version, counts, and what could not be used and why.',
        )
        for status, label, message in (
            (310, 'ERROR_OUTPUT_FILES_MISSING', 'The program wrote none of the outputs {message}'),
            (311, 'ERROR_OUTPUT_FILES_UNREADABLE', 'Nothing can be read in {message}'),
            (312, 'ERROR_VERSION_MISSING', 'The program did not print its version when run with {message}'),
        ):
            spec.exit_code(status, label, message=message, invalidates_cache=True)
        spec.exit_code(510, 'ERROR_NO_CANDIDATES', message='No crystal can be used: {message}')
        spec.exit_code(511, 'ERROR_TOO_FEW_CANDIDATES', message='Too few crystals can be used: {message}')

    @classmethod
    def check_parameters(cls, values: dict[str, t.Any]) -> None:
        """Check the parameters.

        :raises InvalidInputError: listing every problem.
        """
        ExternalGenerateParameters.parse(values)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the configuration, and say what to run and to retrieve."""
        parameters = ExternalGenerateParameters.parse(self.inputs.parameters.get_dict())
        for name, text in parameters.config_texts(self.inputs.seed.value):
            with folder.open(name, 'w', encoding='utf8') as handle:
                handle.write(text)
        run = CodeInfo()
        run.code_uuid = self.inputs.code.uuid
        run.cmdline_params = parameters.command(self.inputs.seed.value)
        run.stdout_name, run.stderr_name = self.FILENAME_STDOUT, self.FILENAME_STDERR
        calcinfo = CalcInfo()
        calcinfo.codes_info = [run]
        calcinfo.retrieve_list = [self.FILENAME_STDOUT, self.FILENAME_STDERR]
        if parameters.version_arguments is not None:
            ask = CodeInfo()
            ask.code_uuid = self.inputs.code.uuid
            ask.cmdline_params = list(parameters.version_arguments)
            ask.stdout_name, ask.withmpi = self.FILENAME_VERSION, False
            calcinfo.codes_info = [ask, run]
            calcinfo.retrieve_list.append(self.FILENAME_VERSION)
        # The depth keeps the folders of the paths, which would be dropped otherwise.
        calcinfo.retrieve_list += [(path, '.', len(PurePosixPath(path).parts)) for path in parameters.outputs]
        calcinfo.local_copy_list = [
            (node.uuid, *((node.filename, node.filename) if isinstance(node, SinglefileData) else ('.', label)))
            for label, node in self.inputs.get('files', {}).items()
        ]
        return calcinfo


def check_seed(value: int) -> None:
    """Check a seed.

    :raises InvalidInputError: if it is not one of 31 bits.
    """
    if not 0 <= value < 2**31:
        raise InvalidInputError(f'the seed must be between 0 and {2**31 - 1}, got {value}')


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse files that would overwrite each other or be read as outputs."""
    if value.get('parameters') is None:
        return None
    parameters = ExternalGenerateParameters.parse(value['parameters'].get_dict())
    return files_problem(parameters, value.get('files') or {})


def files_problem(parameters: ExternalGenerateParameters, files: t.Mapping[str, t.Any]) -> str | None:
    """Return which input file overwrites another or would be taken for an output, or None."""
    own = [getattr(ExternalGenerateCalculation, f'FILENAME_{name}') for name in ('STDOUT', 'STDERR', 'VERSION')]
    names = [*own, *parameters.config]
    for label, node in files.items():
        names.append(node.filename if isinstance(node, SinglefileData) else label)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f'two files of the job are called `{twice[0]}`: rename one'
    for label, node in files.items():
        if isinstance(node, FolderData):
            names += [f'{label}/{path}' for path in _paths(node)]
    for pattern in parameters.outputs:
        for name in names:
            if _matches(name, pattern):
                return f'the output `{pattern}` matches the input file `{name}`: let the program write to a folder'
    return None


def _paths(folder: FolderData) -> Iterator[str]:
    """Yield the paths of all files in a folder."""
    for root, _, files in folder.base.repository.walk():
        yield from ((root / file).as_posix() for file in files)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a path matches a pattern, of which no wildcard matches a slash."""
    parts, wanted = PurePosixPath(name).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
