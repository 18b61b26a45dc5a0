"""What the parsers of the three jobs of the GPU side share."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from aiida.engine import ExitCode
from aiida.orm import Dict
from aiida.parsers import Parser

from aiida_qagenai.calculations.models.base import MlCalculation

__all__ = ('MlParser', 'ParsingError')

EXIT_CODES = {
    'invalid_input': 'ERROR_INVALID_INPUT',
    'corrupt_file': 'ERROR_CORRUPT_FILE',
    'non_finite': 'ERROR_NON_FINITE',
    'out_of_memory': 'ERROR_OUT_OF_MEMORY',
    'relaxation_not_converged': 'ERROR_RELAXATION_NOT_CONVERGED',
    'band_not_converged': 'ERROR_BAND_NOT_CONVERGED',
    'equilibrium_not_converged': 'ERROR_NO_EQUILIBRIUM',
}


class ParsingError(Exception):
    """The job did not give what it should: carries the name of the exit code and the text for it."""

    def __init__(self, code: str, message: str = '') -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MlParser(Parser):
    """Read ``results.json``, map a failure to its exit code, and leave the outputs to the subclass."""

    def parse(self, **kwargs: t.Any) -> ExitCode | None:
        """Parse the retrieved files into nodes."""
        scheduler_status = self.node.exit_status
        try:
            results = self._read_results()
            self.out('results', Dict(results))
            self._check_status(results)
            self.parse_outputs(Path(kwargs['retrieved_temporary_folder']), results)
        except ParsingError as exception:
            # What the scheduler said (out of walltime, node failure) is the cause, a missing file only a symptom.
            if scheduler_status:
                return ExitCode(self.node.exit_status, self.node.exit_message)
            exit_code: ExitCode = getattr(self.exit_codes, exception.code)
            return exit_code.format(message=exception.message) if '{message}' in exit_code.message else exit_code
        return None

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the outputs from the files in ``folder``.

        :raises ParsingError: if a file is missing or corrupt.
        """
        raise NotImplementedError

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
