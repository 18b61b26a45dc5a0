"""Parser of :class:`~aiida_qagenai.calculations.models.external.ExternalGenerateCalculation`."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

from aiida.engine import ExitCode
from aiida.orm import Dict

from aiida_qagenai.calculations.models.external import ExternalGenerateCalculation, ExternalGenerateParameters
from aiida_qagenai.exchange.readers.proposals import Proposals, read_proposals
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.parsers.base import JobParser, ParsingError
from aiida_qagenai.parsers.generate import store_candidates

__all__ = ('ExternalGenerateParser',)

MAX_TEXTS = 50
"""Problems and warnings that are kept; the counts are of all."""

MAX_LABEL = 255
"""Characters of the label of a node."""


class ExternalGenerateParser(JobParser):
    """Make a ``CandidateData`` of every crystal that can be used, whatever becomes of the others."""

    def parse(self, **kwargs: t.Any) -> ExitCode | None:
        """Parse the retrieved files; a job that the scheduler ended has failed, whatever it wrote before."""
        exit_code = super().parse(**kwargs)
        if exit_code is None and self.node.exit_status:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return exit_code

    def parse_files(self, folder: Path) -> None:
        """Make the results and the candidates."""
        parameters = ExternalGenerateParameters.parse(self.node.inputs.parameters.get_dict())
        files = dict(self._output_files())
        proposals = read_proposals(files.items(), parameters.limits)
        version = parameters.version if parameters.version_arguments is None else self._printed_version()
        self.out('results', Dict(describe(parameters, version, len(files), proposals)))
        structures = [structure for _, structure in proposals.structures]
        if structures:
            labels = [name[:MAX_LABEL] for name, _ in proposals.structures]
            origin = parameters.program if version is None else f'{parameters.program} {version}'
            store_candidates(self, StructureBatch.from_structures(structures), origin, labels)
        if not files:
            raise ParsingError('ERROR_OUTPUT_FILES_MISSING', f'{", ".join(parameters.outputs)}{self._last_words()}')
        if proposals.unreadable:
            others = f' (and {len(proposals.unreadable) - 1} other files)' if len(proposals.unreadable) > 1 else ''
            raise ParsingError('ERROR_OUTPUT_FILES_UNREADABLE', f'{proposals.unreadable[0]}{others}')
        if len(structures) < parameters.min_structures:
            total = len(structures) + len(proposals.problems)
            first = f'; {proposals.problems[0]}' if proposals.problems else ''
            message = f'{len(structures)} of {total}, expected {parameters.min_structures} or more{first}'
            raise ParsingError(f'ERROR_{"TOO_FEW" if structures else "NO"}_CANDIDATES', message)
        if version is None and parameters.version_arguments is not None:
            raise ParsingError('ERROR_VERSION_MISSING', f'{" ".join(parameters.version_arguments)}{self._last_words()}')

    def _output_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the path and the content of every retrieved file that is an output, in the order of their paths."""
        process = ExternalGenerateCalculation
        options = self.node.get_options()
        own = {process.FILENAME_STDOUT, process.FILENAME_STDERR, process.FILENAME_VERSION}
        own |= {options.get('scheduler_stdout'), options.get('scheduler_stderr')}
        repository = self.retrieved.base.repository
        paths = sorted((root / file).as_posix() for root, _, files in repository.walk() for file in files)
        for path in paths:
            if path not in own:
                yield path, repository.get_object_content(path, 'rb')

    def _printed_version(self) -> str | None:
        """Return what the program printed when it was asked for its version, on one line."""
        return ' '.join(self._text(ExternalGenerateCalculation.FILENAME_VERSION).split())[:100] or None

    def _last_words(self) -> str:
        """Return the last line of the errors that the program printed, for the end of a message."""
        lines = self._text(ExternalGenerateCalculation.FILENAME_STDERR).strip().splitlines()
        return f': {lines[-1].strip()[:200]}' if lines else ''

    def _text(self, name: str) -> str:
        """Return the text of a retrieved file, nothing if it is missing."""
        try:
            return str(self.retrieved.base.repository.get_object_content(name, 'rb').decode(errors='replace'))
        except FileNotFoundError:
            return ''


def describe(
    parameters: ExternalGenerateParameters, version: str | None, num_files: int, proposals: Proposals
) -> dict[str, t.Any]:
    """Return what was read, and what could not be used."""
    return {
        'program': parameters.program,
        'version': version,
        'seeded': parameters.is_seeded,
        'num_files': num_files,
        'num_structures': len(proposals.structures),
        'num_problems': len(proposals.problems),
        'num_unreadable_files': len(proposals.unreadable),
        'problems': proposals.problems[:MAX_TEXTS],
        'unreadable_files': proposals.unreadable[:MAX_TEXTS],
        'warnings': proposals.warnings[:MAX_TEXTS],
    }
