"""Parser of :class:`~aiida_qagenai.calculations.pyscf.cell.PyscfCellCalculation`."""

from __future__ import annotations

import json
import math
import typing as t
from pathlib import Path

import numpy as np
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.engine import ExitCode
from aiida.parsers.parser import Parser

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.results import (
    FINISHED,
    BandStructure,
    EnergyResults,
    ForceResults,
    PyscfResults,
)
from aiida_qagenai.common.descriptors import EXTRA_FIELDS, FIELDS
from aiida_qagenai.data.sites import move_atoms

__all__ = ('EXIT_LABELS', 'PyscfCellParser')

EXIT_LABELS = {
    'running': 'ERROR_KILLED',
    'killed': 'ERROR_KILLED',
    'exception': 'ERROR_SCRIPT_EXCEPTION',
    'invalid_input': 'ERROR_INVALID_INPUT',
    'lno_missing': 'ERROR_LNO_NOT_INSTALLED',
    'out_of_walltime': 'ERROR_OUT_OF_WALLTIME',
    'out_of_memory': 'ERROR_OUT_OF_MEMORY',
    'amplitudes_lost': 'ERROR_AMPLITUDES_LOST',
    'memory_estimate': 'ERROR_MEMORY_ESTIMATE',
    'scf_not_converged': 'ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED',
    'magnetic_collapse': 'ERROR_MAGNETIC_COLLAPSE',
    'cc_not_converged': 'ERROR_COUPLED_CLUSTER_NOT_CONVERGED',
    'not_finite': 'ERROR_ENERGY_NOT_FINITE',
    'integration_error': 'ERROR_INTEGRATION',
    'linear_dependence': 'ERROR_LINEAR_DEPENDENCE',
    'metallic': 'ERROR_METALLIC',
    'varying_occupation': 'ERROR_VARYING_OCCUPATION',
    'complex_triples': 'ERROR_COMPLEX_TRIPLES',
    'open_shell': 'ERROR_OPEN_SHELL',
    'not_supported': 'ERROR_NOT_SUPPORTED',
    'relaxation_not_converged': 'ERROR_RELAXATION_NOT_CONVERGED',
}
"""Ending that the script records → exit code."""

WALLTIME_SIGN = 'DUE TO TIME LIMIT'
"""What SLURM writes when it ends a job; its accounting, which AiiDA asks, is not there on every cluster."""

ENERGIES = ForceResults.model_fields.keys() - PyscfResults.model_fields.keys()
"""What only a finished calculation has."""

OWN_OUTPUTS = ('descriptors', 'band_structure', 'geometry')
"""What becomes an output of its own."""

MEMORY_SIGNS = (
    'MemoryError',
    'oom-kill',
    'Out Of Memory',
    'out of memory',
    'Cannot allocate memory',
    'Segmentation fault',
)
"""What a scheduler or a shell writes; the C code of PySCF crashes where it is given no more memory."""


class PyscfCellParser(Parser):
    """Read the results file; nothing is unpickled and an exit code of the scheduler is never overridden."""

    def parse(self, **kwargs: t.Any) -> ExitCode | None:
        """Attach the results, also those known of a failure, and return how the calculation ended."""
        exit_code = self._parse_results(kwargs.get('retrieved_temporary_folder'))
        if self.node.exit_status is not None:
            # The scheduler knows better why a job died than a file that is missing.
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return exit_code

    def _parse_results(self, temporary: str | None) -> ExitCode | None:
        names = self.retrieved.base.repository.list_object_names()
        if PyscfCellCalculation.FILENAME_RESULTS not in names:
            return self._missing_results(names)
        try:
            content = self.retrieved.base.repository.get_object_content(PyscfCellCalculation.FILENAME_RESULTS)
            values, results = _load_results(content)
        except ValueError as exception:
            return self.exit_codes.ERROR_OUTPUT_RESULTS_UNREADABLE.format(message=str(exception))
        self.out('results', orm.Dict(values))
        geometry, is_finished = results.geometry, results.status == FINISHED
        if geometry is not None and self.node.inputs.parameters.get('relax'):
            name = 'relaxed' if is_finished else 'last_geometry'
            how = name.replace('_', ' ')
            self.out(name, move_atoms(self.node.inputs.structure, geometry.cell, geometry.positions, how))
        if not is_finished:
            self._attach_checkpoint(temporary)
            return self._ending(results)
        if results.descriptors is not None:
            self.out('descriptors', orm.Dict(_check_descriptors(results.descriptors)))
        if results.band_structure is not None:
            self.out('bands', _make_bands(results.band_structure, self.node.inputs.structure))
        return None

    def _ending(self, results: PyscfResults) -> ExitCode:
        """Return the exit code of a calculation that did not finish."""
        label = EXIT_LABELS[results.status]
        if label == 'ERROR_KILLED' and self._ran_out_of_memory():
            return self.exit_codes.ERROR_OUT_OF_MEMORY.format(message=f'it ended during {results.stage}')
        if label == 'ERROR_KILLED' and self._ran_out_of_walltime():
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(message='killed by the scheduler')
        return getattr(self.exit_codes, label).format(message=results.message)

    def _missing_results(self, names: list[str]) -> ExitCode:
        if self._ran_out_of_memory():
            return self.exit_codes.ERROR_OUT_OF_MEMORY.format(message='killed before the results were written')
        if self._ran_out_of_walltime():
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(message='killed by the scheduler')
        if PyscfCellCalculation.FILENAME_STDOUT not in names:
            return self.exit_codes.ERROR_OUTPUT_STDOUT_MISSING
        return self.exit_codes.ERROR_OUTPUT_RESULTS_MISSING

    def _ran_out_of_memory(self) -> bool:
        """Return whether the scheduler's error file tells of a kill for memory."""
        return any(sign in self._scheduler_errors() for sign in MEMORY_SIGNS)

    def _ran_out_of_walltime(self) -> bool:
        """Return whether the scheduler's error file tells of a kill at the limit of time."""
        return WALLTIME_SIGN in self._scheduler_errors()

    def _scheduler_errors(self) -> str:
        """Return the scheduler's error file, empty if there is none."""
        try:
            return self.node.get_scheduler_stderr() or ''
        except NotExistent:
            return ''

    def _attach_checkpoint(self, temporary: str | None) -> None:
        if temporary is None:
            return
        path = Path(temporary) / PyscfCellCalculation.FILENAME_CHECKPOINT
        if path.is_file() and path.stat().st_size > 0:
            self.out('checkpoint', orm.SinglefileData(path))


def _load_results(content: str) -> tuple[dict[str, t.Any], PyscfResults]:
    """Return what becomes the node, and all results, typed.

    :raises ValueError: if they are truncated or of another format.
    """
    values = json.loads(content)
    if not isinstance(values, dict) or values.get('status') not in {FINISHED, *EXIT_LABELS}:
        raise ValueError('no known `status`')
    values.setdefault('message', '')
    values.setdefault('stage', 'start')
    if values['status'] == FINISHED and not _is_finite(values.get('total_energy')):
        values.update(status='not_finite', message=f'the total energy is {values.get("total_energy")}')
    results: PyscfResults
    if values['status'] == FINISHED:
        results = (ForceResults if 'forces' in values else EnergyResults).parse(values)
    else:
        # Known before a later step failed: without that step they are not the result that was asked for.
        values = {name: value for name, value in values.items() if name not in ENERGIES}
        results = PyscfResults.parse(values)
    return {name: value for name, value in values.items() if name not in OWN_OUTPUTS}, results


def _make_bands(values: BandStructure, structure: orm.StructureData) -> orm.BandsData:
    """Return the bands along the path, eV, not shifted."""
    bands = orm.BandsData()
    bands.set_cell_from_structure(structure)
    bands.set_kpoints(values.kpoints)
    bands.labels = list(values.labels)
    bands.set_bands(np.array(values.energies), units='eV')
    return bands


def _is_finite(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _check_descriptors(values: dict[str, float | None]) -> dict[str, float]:
    """Return the fields of the descriptor layout that could be computed."""
    return {name: value for name in (*FIELDS, *EXTRA_FIELDS) if (value := values.get(name)) is not None}
