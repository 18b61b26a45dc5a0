"""Relax the candidates of a cycle on a potential, all in one job."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import Dict, RemoteData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation, potential_problem
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import BatchMixin
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse

__all__ = ('RelaxManyCalculation',)


class RelaxManyCalculation(BatchMixin, AtomisticCalculation):
    """Relax cell and atoms of every candidate of a set on one potential, many in each evaluation.

    Each candidate has a relaxed one among the outputs, under the same label and name, whose attributes say how the
    relaxation ended. One that cannot be relaxed costs the others nothing: it goes on as it was, with the reason.
    """

    TASK = 'relax_many'
    MEMBERS: t.ClassVar[dict[str, tuple[str, str]]] = {'members': ('candidate_set', 'candidates')}
    FILENAME_OUTPUT = 'relaxed.npz'
    FILENAME_JOURNAL = 'relaxed.jsonl'
    FILES: t.ClassVar[dict[str, str]] = {
        'structures': AtomisticCalculation.FILENAME_STRUCTURES,
        'output': FILENAME_OUTPUT,
        'journal': FILENAME_JOURNAL,
    }
    MACHINE_FAILURES: t.ClassVar[frozenset[int]] = AtomisticCalculation.MACHINE_FAILURES | {120}
    """Those of other jobs, and the end of the walltime: the next attempt goes on from the journal."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input('candidate_set', valid_type=DatasetData, help='Candidates, packed.')
        spec.input(
            'competing',
            valid_type=DatasetData,
            required=False,
            help='Known phases of the same chemical system, relaxed as well.',
        )
        spec.input(
            'screening',
            valid_type=Dict,
            required=False,
            help='Name of a candidate → why it is not relaxed, see `screen_candidates`; all are relaxed by default.',
        )
        spec.input(
            'parent_folder',
            valid_type=RemoteData,
            required=False,
            help='Remote folder of a job that was cut, whose journal is copied: what it had relaxed is not done again.',
        )
        spec.output_namespace(
            'candidates',
            valid_type=CandidateData,
            required=False,
            help='Relaxed candidates, one for each candidate, under its label; attributes `relaxation_*` say how the '
            'relaxation ended, and `relaxed_from` is the UUID of the unrelaxed candidate.',
        )
        spec.output(
            'candidate_set',
            valid_type=DatasetData,
            required=False,
            help='All relaxed candidates, packed in the order of their labels.',
        )
        spec.output(
            'competing',
            valid_type=DatasetData,
            required=False,
            help='Known phases as they are relaxed, in the order of the input; `results.relaxations` has the outcomes.',
        )
        spec.exit_code(
            730, 'WARNING_NOTHING_RELAXED', message='No candidate has converged, all go on as they are: {message}'
        )

    @classmethod
    def validate_inputs(cls, value: dict[str, t.Any], _: t.Any) -> str | None:
        """Refuse a validator without its checkpoint; what a potential does not cover is reported by candidate."""
        if 'parameters' not in value:
            return None
        potential = parse(cls.TASK, cls.complete(value['parameters'].get_dict())).potential
        problem = potential_problem(potential, (), value.get('checkpoint'))
        if problem or 'candidate_set' not in value:
            return problem
        names = set(value['candidate_set'].structures().identifiers.tolist())
        unknown = sorted(set(value['screening'].get_dict()) - names) if 'screening' in value else []
        if unknown:
            return f'`screening` names `{unknown[0]}`, which is not in `candidate_set`'
        if 'screening' in value and len(value['screening'].get_dict()) == len(names) and 'competing' not in value:
            return '`screening` leaves no candidate to relax'
        return None

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Say what to run, and which journal to copy."""
        calcinfo = super().prepare_for_submission(folder)
        if 'parent_folder' in self.inputs:
            parent = self.inputs.parent_folder
            journal = f'{parent.get_remote_path()}/{self.FILENAME_JOURNAL}'  # AiiDA goes on where there is none
            calcinfo.remote_copy_list = [(parent.computer.uuid, journal, self.FILENAME_JOURNAL)]
        return calcinfo

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the candidates that are to be relaxed, the known phases and the checkpoint."""
        candidates = self.inputs.candidate_set.structures()
        left_out = self.inputs.screening.get_dict() if 'screening' in self.inputs else {}
        rows = np.flatnonzero([name not in left_out for name in candidates.identifiers.tolist()])
        batches = [candidates.select(rows)]
        if 'competing' in self.inputs:
            batches.append(self.inputs.competing.structures())
        StructureBatch.concatenate(batches).save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        names = [self.FILENAME_STRUCTURES]
        if 'checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_CHECKPOINT, self.inputs.checkpoint)
        return names
