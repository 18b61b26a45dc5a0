"""Base classes of the parsers of jobs that run ``python -m aiida_qagenai.ml`` or a program of others."""

from __future__ import annotations

import contextlib
import json
import typing as t
from abc import abstractmethod
from pathlib import Path

import numpy as np
from aiida.engine import ExitCode
from aiida.orm import Dict, StructureData
from aiida.parsers import Parser
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.common.errors import InvalidInputError, QagenaiError
from aiida_qagenai.exchange.structures import load_arrays

__all__ = ('AtomisticParser', 'JobParser', 'MlParser', 'ParsingError', 'make_structures', 'reading_outputs')

EXIT_CODES = {
    'invalid_input': 'ERROR_INVALID_INPUT',
    'corrupt_file': 'ERROR_CORRUPT_FILE',
    'non_finite': 'ERROR_NON_FINITE',
    'out_of_memory': 'ERROR_OUT_OF_MEMORY',
    'relaxation_not_converged': 'ERROR_RELAXATION_NOT_CONVERGED',
    'band_not_converged': 'ERROR_BAND_NOT_CONVERGED',
    'equilibrium_not_converged': 'ERROR_NO_EQUILIBRIUM',
}
"""Kind of the error that a task writes → exit code."""


class ParsingError(Exception):
    """An output is missing or corrupt; carries the label of the exit code and the text for it."""

    def __init__(self, code: str, message: str = '') -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextlib.contextmanager
def reading_outputs() -> t.Iterator[None]:
    """Turn what goes wrong within into the exit code of a corrupt output file."""
    try:
        yield
    except QagenaiError as exception:
        raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', str(exception)) from exception
    except (KeyError, IndexError, ValueError) as exception:
        raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', f'{type(exception).__name__} {exception}') from exception


class JobParser(Parser):
    """Return the exit code of the error that the subclass raises, unless the scheduler has said what went wrong."""

    def parse(self, **kwargs: t.Any) -> ExitCode | None:
        """Parse the retrieved files into nodes."""
        scheduler_status = self.node.exit_status
        try:
            self.parse_files(Path(kwargs.get('retrieved_temporary_folder') or ''))
        except ParsingError as exception:
            # What the scheduler said (out of walltime, node failure) is the cause, a missing file only a symptom.
            if scheduler_status:
                return ExitCode(self.node.exit_status, self.node.exit_message)
            exit_code: ExitCode = getattr(self.exit_codes, exception.code)
            return exit_code.format(message=exception.message) if '{message}' in exit_code.message else exit_code
        return None

    @abstractmethod
    def parse_files(self, folder: Path) -> None:
        """Make the outputs from the retrieved files and those that were retrieved for the parser only, in ``folder``.

        :raises ParsingError: if a file is missing or corrupt, or says that the job failed.
        """


class MlParser(JobParser):
    """Read ``results.json``, map a failure to its exit code, and leave the outputs to the subclass."""

    def parse_files(self, folder: Path) -> None:
        """Make the outputs of a task that succeeded."""
        results = self._read_results()
        self.out('results', Dict(results))
        self._check_status(results)
        self.parse_outputs(folder, results)

    @abstractmethod
    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the outputs from the files in ``folder``.

        :raises ParsingError: if a file is missing or corrupt.
        """

    def _read_results(self) -> dict[str, t.Any]:
        """Return the content of ``results.json``."""
        try:
            content = self.retrieved.base.repository.get_object_content(MlCalculation.FILENAME_RESULTS)
        except FileNotFoundError as exception:
            raise ParsingError('ERROR_RESULTS_MISSING') from exception
        try:
            results: dict[str, t.Any] = json.loads(content)
            results['status']
        except (json.JSONDecodeError, KeyError, TypeError) as exception:
            raise ParsingError('ERROR_RESULTS_UNREADABLE', str(exception)) from exception
        return results

    @staticmethod
    def _check_status(results: dict[str, t.Any]) -> None:
        """Raise the exit code of a task that says that it failed."""
        if results['status'] == 'ok':
            return
        error = results.get('error') or {}
        raise ParsingError(
            EXIT_CODES.get(str(error.get('kind')), 'ERROR_INTERNAL'), str(error.get('message', 'no reason'))
        )

    @staticmethod
    def require(path: Path) -> Path:
        """Return ``path`` if it exists."""
        if not path.exists():
            raise ParsingError('ERROR_OUTPUT_FILE_MISSING', path.name)
        return path


class AtomisticParser(MlParser):
    """Read the packed results of a job that moves atoms on a potential."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the outputs from the packed results."""
        path = self.require(folder / self.node.process_class.FILENAME_OUTPUT)
        with reading_outputs():
            self.make_outputs(load_arrays(path), results)

    @abstractmethod
    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the outputs of one task."""


def make_structures(arrays: dict[str, NDArray[t.Any]]) -> list[StructureData]:
    """Return the packed images as structures."""
    symbols = [chemical_symbols[int(number)] for number in arrays['species']]
    structures = []
    for cell, positions in zip(arrays['cells'], arrays['positions'], strict=True):
        if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
            raise InvalidInputError('a structure has coordinates that are not finite')
        structure = StructureData(cell=cell.tolist(), pbc=(True, True, True))
        for symbol, position in zip(symbols, positions, strict=True):
            structure.append_atom(symbols=symbol, position=position.tolist())
        structures.append(structure)
    return structures
