"""CalcJob: the quantum descriptors of a crystal that pw.x has computed, from the orbitals in its folder."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pydantic
from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.common.units import BOHR_TO_ANGSTROM
from aiida_qagenai.engine.jobs import RecoveryMixin

__all__ = ('DescribeParameters', 'PwDescribeCalculation')

SCRIPT = Path(__file__).with_name('wave_functions.py')


class DescribeParameters(StrictModel):
    """What the orbitals do not say."""

    valence: dict[str, pydantic.PositiveFloat] = pydantic.Field(description='Electrons beside each pseudopotential.')
    basis: str = pydantic.Field('gth-szv-molopt-sr', description='Gaussian basis of PySCF that s, p and d are read in.')


class PwDescribeCalculation(RecoveryMixin, CalcJob):
    """Quantum descriptors of a crystal after a calculation of pw.x with norm-conserving pseudopotentials.

    The job runs where pw.x ran, in a Python with numpy and PySCF: any code of ``qagenai.pyscf_cell`` serves.
    """

    FILENAME_SCRIPT: str = 'wave_functions.py'
    FILENAME_INPUTS: str = 'inputs.json'
    FILENAME_RESULTS: str = 'results.json'
    FILENAME_STDOUT: str = 'aiida.out'
    FOLDER: str = 'aiida.save'
    # Raise it when the script changes what is stored.
    CACHE_VERSION = 1

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define inputs, outputs and endings."""
        super().define(spec)
        spec.inputs['code'].required = True
        spec.input('structure', valid_type=orm.StructureData, help='The crystal that pw.x computed.')
        spec.input('parent_folder', valid_type=orm.RemoteData, help='Folder of pw.x, with its orbitals.')
        spec.input(
            'parameters', valid_type=orm.Dict, validator=validator(DescribeParameters.parse), help='What it needs.'
        )
        spec.inputs.validator = cls.validate_inputs
        options: t.Any = spec.inputs['metadata']['options']
        options['parser_name'].default = 'qagenai.pw_describe'
        options['resources'].default = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
        options['withmpi'].default = False
        spec.output('descriptors', valid_type=orm.Dict, help='Quantum descriptors of the PBE density and bands.')
        spec.default_output_node = 'descriptors'
        for status, label, message in (
            (303, 'ERROR_OUTPUT_RESULTS_MISSING', 'There are no results: {message}'),
            (310, 'ERROR_UNREADABLE', 'What pw.x left cannot be described: {message}'),
        ):
            spec.exit_code(status, label, message=message, invalidates_cache=True)

    @classmethod
    def validate_inputs(cls, inputs: t.Any, _: t.Any) -> str | None:
        """Return what does not fit together."""
        if not all(inputs.get(name) for name in ('code', 'structure', 'parent_folder', 'parameters')):
            return None
        there, here = inputs['parent_folder'].computer, inputs['code'].computer
        if there.uuid != here.uuid:
            return f'pw.x ran on {there.label}, the code is on {here.label}: the orbitals stay where they are'
        valence = DescribeParameters.parse(inputs['parameters'].get_dict()).valence
        missing = sorted({kind.symbol for kind in inputs['structure'].kinds} - set(valence))
        return f'`valence` has no entry for {", ".join(missing)}' if missing else None

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the script and its inputs; the orbitals are linked, not copied."""
        structure, parent = self.inputs.structure, self.inputs.parent_folder
        given = DescribeParameters.parse(self.inputs.parameters.get_dict())
        inputs = {
            **given.dump(),
            'folder': self.FOLDER,
            'symbols': [structure.get_kind(site.kind_name).symbol for site in structure.sites],
            'positions': [[x / BOHR_TO_ANGSTROM for x in site.position] for site in structure.sites],
        }
        for name, content in (
            (self.FILENAME_SCRIPT, SCRIPT.read_text(encoding='utf-8')),
            (self.FILENAME_INPUTS, json.dumps(inputs)),
        ):
            with folder.open(name, 'w', encoding='utf-8') as handle:
                handle.write(content)
        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = [self.FILENAME_SCRIPT, self.FILENAME_INPUTS, self.FILENAME_RESULTS]
        codeinfo.stdout_name = self.FILENAME_STDOUT
        codeinfo.join_files = True
        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.retrieve_list = [self.FILENAME_RESULTS, self.FILENAME_STDOUT]
        source = f'{parent.get_remote_path()}/out/{self.FOLDER}'
        calcinfo.remote_symlink_list = [(parent.computer.uuid, source, self.FOLDER)]
        return calcinfo
