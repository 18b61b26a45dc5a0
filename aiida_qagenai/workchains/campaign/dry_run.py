"""What a campaign would ask of the schedulers, before it is launched."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida import orm
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.dry_run import submit_script
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.workchains.options import ONE_PROCESS

__all__ = ('JobScript', 'job_scripts')


class JobScript(t.NamedTuple):
    """The script of the jobs of one kind.

    :param jobs: which jobs these are.
    :param computer: where they run, and by which scheduler.
    """

    jobs: str
    computer: str
    scheduler: str
    text: str


def job_scripts(builder: t.Any) -> list[JobScript]:
    """Return the scripts that schedulers would get from a campaign: of its energies and of its models.

    They are those of a helium atom and of a training on one crystal: all jobs of a kind have the same script but for
    its name. A campaign with an oracle has no jobs of PySCF.

    :param builder: of a campaign, complete.
    :raises InvalidInputError: if a scheduler or a code refuses the options.
    """
    kinds = [('the models', TrainCalculation, _training(), builder.ml_code, builder.get('ml_options'))]
    if builder.get('pyscf_code') is not None:
        kinds.insert(0, ('PySCF', PyscfCellCalculation, _helium(), builder.pyscf_code, builder.get('pyscf_options')))
    found = []
    for jobs, process_class, inputs, code, options in kinds:
        wanted = {'resources': ONE_PROCESS, **(options.get_dict() if options else {})}
        try:
            text = submit_script(process_class, {'code': code, **inputs}, wanted)
        except ValueError as exception:
            raise InvalidInputError(f'the jobs of {jobs} were refused: {exception}') from exception
        computer = code.computer
        found.append(JobScript(jobs, computer.label, computer.scheduler_type, text))
    return found


def _helium() -> dict[str, t.Any]:
    structure = orm.StructureData(cell=np.eye(3) * 8.0)
    structure.append_atom(position=(4.0, 4.0, 4.0), symbols='He')
    parameters = {'fidelity': Fidelity.PBE.value, 'system': 'molecule', 'basis': 'sto-3g'}
    return {'structure': structure, 'parameters': orm.Dict(parameters)}


def _training() -> dict[str, t.Any]:
    batch = LabelledBatch(
        StructureBatch.from_structures([Structure(Lattice.cubic(3.0), ['He'], [[0.0] * 3])], ['000-00000']),
        energies=np.zeros((1, len(LADDER))),
        descriptors=np.full((1, NUM_DESCRIPTORS), np.nan),
        groups=np.array(['He']),
        split=np.zeros(1, dtype=np.int8),
    )
    tags = {level.value: f'none:{level.label}' for level in LADDER}
    dataset = DatasetData(batch, level_tags=tags, formation_scheme='anchored', scientific=False)
    return {'dataset': dataset, 'parameters': orm.Dict({'role': 'validator'})}
