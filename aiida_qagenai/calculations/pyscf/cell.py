"""CalcJob: the energy of one crystal, molecule or atom at one level of the ladder, by PySCF."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from jinja2 import Environment

from aiida_qagenai.calculations.pyscf.bases import bases_problem, insert_bases
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import MAIN_TEMPLATE, script_environment, script_variables
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import reported_as
from aiida_qagenai.common.installing import MissingPackageError, install_pyscf
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.engine.jobs import RecoveryMixin

with reported_as(
    f'energies by PySCF need aiida-pyscf, not installed here: {install_pyscf()}',
    ModuleNotFoundError,
    error=MissingPackageError,
):
    from aiida_pyscf.calculations.base import PyscfCalculation

__all__ = ('PyscfCellCalculation',)


class PyscfCellCalculation(RecoveryMixin, PyscfCalculation):
    """Energy of a crystal, molecule or atom by PBE, SCAN, HSE06 or CCSD(T).

    The script it writes is complete in itself: run by hand with PySCF it gives the stored energy.
    """

    MAIN_TEMPLATE: str = MAIN_TEMPLATE
    FILENAME_AMPLITUDES: str = 'amplitudes.h5'
    FILENAME_FRAGMENTS: str = 'fragments.h5'
    FILENAME_RESTART_AMPLITUDES: str = 'restart_amplitudes.h5'
    # Raise it when the script or the parser changes what is stored.
    CACHE_VERSION = 5

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define inputs, outputs and endings."""
        # Past the molecular plugin, whose outputs and options do not apply here.
        super(PyscfCalculation, cls).define(spec)
        spec.inputs['code'].required = True
        spec.input('structure', valid_type=orm.StructureData, help='Crystal, or the molecule or atom.')
        spec.input(
            'parameters',
            valid_type=orm.Dict,
            validator=validator(PyscfCellParameters.parse),
            help='Level of theory and numerics, see `PyscfCellParameters`.',
        )
        spec.input_namespace(
            'bases',
            valid_type=BasisData,
            dynamic=True,
            required=False,
            help='Bases by element, from an installed family whose name the parameter `basis` gives.',
        )
        spec.input(
            'ghosts',
            valid_type=orm.StructureData,
            required=False,
            help='Sites around an atom or molecule that lend it their basis functions: the counterpoise correction.',
        )
        spec.input(
            'checkpoint',
            valid_type=orm.SinglefileData,
            required=False,
            help='SCF checkpoint of an earlier calculation: the initial guess.',
        )
        spec.input(
            'restart_folder',
            valid_type=orm.RemoteData,
            required=False,
            help='Working folder of a CCSD(T) calculation whose amplitudes, or finished fragments, are continued from.',
        )
        spec.inputs.validator = cls.validate_inputs
        options: t.Any = spec.inputs['metadata']['options']
        options['parser_name'].default = 'qagenai.pyscf_cell'
        options['resources'].default = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
        options['withmpi'].default = False
        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_outputs(cls, spec: CalcJobProcessSpec) -> None:
        spec.output(
            'results',
            valid_type=orm.Dict,
            required=False,
            help='Energies (eV), numerics, diagnostics and cost; after a failure what is known of it.',
        )
        spec.output(
            'descriptors', valid_type=orm.Dict, required=False, help='Quantum descriptors of the PBE density and bands.'
        )
        spec.output('bands', valid_type=orm.BandsData, required=False, help='PBE bands along a path, where asked for.')
        spec.output('relaxed', valid_type=orm.StructureData, required=False, help='The relaxed crystal.')
        spec.output(
            'last_geometry',
            valid_type=orm.StructureData,
            required=False,
            help='How far an unfinished relaxation got: where it is continued.',
        )
        spec.output(
            'checkpoint', valid_type=orm.SinglefileData, required=False, help='SCF checkpoint of an unfinished SCF.'
        )
        spec.default_output_node = 'results'

    @classmethod
    def _define_exit_codes(cls, spec: CalcJobProcessSpec) -> None:
        # Wrong input aside, this is what the machine did to the calculation: it must not come back from the cache.
        for status, label, message in (
            (210, 'ERROR_INVALID_INPUT', 'PySCF refused the input: {message}'),
            (211, 'ERROR_NOT_SUPPORTED', 'The Python of the code cannot do this: {message}'),
            (220, 'ERROR_LNO_NOT_INSTALLED', 'Local CCSD(T) is not installed: {message}'),
            (302, 'ERROR_OUTPUT_STDOUT_MISSING', 'The stdout output file was not retrieved.'),
            (303, 'ERROR_OUTPUT_RESULTS_MISSING', 'The results JSON file was not retrieved.'),
            (304, 'ERROR_OUTPUT_RESULTS_UNREADABLE', 'The results file is truncated or not as written: {message}'),
            (310, 'ERROR_SCRIPT_EXCEPTION', 'The script raised an exception: {message}'),
            (400, 'ERROR_OUT_OF_WALLTIME', 'Stopped in time to be continued: {message}'),
            (401, 'ERROR_KILLED', 'The script was killed before it ended: {message}'),
            (402, 'ERROR_AMPLITUDES_LOST', 'There is nothing to compute (T) from: {message}'),
            (420, 'ERROR_OUT_OF_MEMORY', 'The calculation ran out of memory: {message}'),
        ):
            spec.exit_code(status, label, message=message, invalidates_cache=True)
        for status, label, message in (
            (410, 'ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED', 'The SCF did not converge: {message}'),
            (411, 'ERROR_COUPLED_CLUSTER_NOT_CONVERGED', 'CCSD did not converge: {message}'),
            (412, 'ERROR_MAGNETIC_COLLAPSE', 'The moments were lost: {message}'),
            (430, 'ERROR_RELAXATION_NOT_CONVERGED', 'The relaxation did not converge: {message}'),
            (421, 'ERROR_MEMORY_ESTIMATE', 'Not started, it would not fit into memory: {message}'),
            (501, 'ERROR_ENERGY_NOT_FINITE', 'An energy is not a number: {message}'),
            (510, 'ERROR_INTEGRATION', 'The grid loses electrons: {message}'),
            (511, 'ERROR_LINEAR_DEPENDENCE', 'The basis is linearly dependent: {message}'),
            (520, 'ERROR_METALLIC', 'CCSD(T) is not defined for a metal: {message}'),
            (521, 'ERROR_VARYING_OCCUPATION', 'CCSD(T) is not defined for a metal: {message}'),
            (522, 'ERROR_COMPLEX_TRIPLES', 'The (T) energy is not real: {message}'),
            (523, 'ERROR_OPEN_SHELL', 'There is no periodic CCSD(T) of open shells: {message}'),
        ):
            spec.exit_code(status, label, message=message)

    @classmethod
    def validate_inputs(cls, inputs: t.Any, _: t.Any) -> str | None:
        """Return what does not fit together."""
        if not all(name in inputs for name in ('structure', 'parameters')):
            return None
        parameters = PyscfCellParameters.parse(inputs['parameters'].get_dict())
        is_restart = 'restart_folder' in inputs
        if is_restart and not (parameters.has_amplitudes or parameters.is_local):
            return '`restart_folder` continues CCSD or (T) of a crystal only'
        if not is_restart and parameters.method == '(T)':
            return '`method` (T) needs the amplitudes in a `restart_folder`'
        if 'ghosts' in inputs and parameters.is_crystal:
            return '`ghosts` are for atoms and molecules'
        structures = [inputs[name] for name in ('structure', 'ghosts') if name in inputs]
        symbols = {kind.symbol for structure in structures for kind in structure.kinds}
        if inputs.get('bases'):
            problem = bases_problem(parameters, inputs['bases'], symbols)
            if problem is not None:
                return problem
        return _find_misfit(parameters, inputs['structure'], symbols)

    def get_template_environment(self) -> Environment:
        """Return the environment of our own templates."""
        return script_environment()

    def get_parameters(self) -> dict[str, t.Any]:
        """Return the variables of the template."""
        structure = self.inputs.structure
        parameters = PyscfCellParameters.parse(self.inputs.parameters.get_dict())
        return script_variables(
            insert_bases(parameters, self.inputs.bases) if self.inputs.get('bases') else parameters,
            structure.cell,
            _sites(structure),
            ghosts=_sites(self.inputs.ghosts) if 'ghosts' in self.inputs else (),
            num_threads=self._num_threads(),
            walltime_seconds=self._walltime_seconds(),
            files={
                'restart_checkpoint': self.FILENAME_RESTART if 'checkpoint' in self.inputs else None,
                'restart_amplitudes': self.FILENAME_RESTART_AMPLITUDES if 'restart_folder' in self.inputs else None,
            },
        )

    def _num_threads(self) -> int:
        resources = self.inputs.metadata.options.resources
        return int(resources.get('num_cores_per_machine') or resources.get('num_cores_per_mpiproc') or 1)

    def _walltime_seconds(self) -> float | None:
        """Return the seconds the script may use, a margin before the scheduler kills it."""
        limit = self.inputs.metadata.options.get('max_wallclock_seconds')
        return None if limit is None else 0.95 * limit

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the script and list what to copy and retrieve: results and stdout, no pickle, no integrals."""
        with folder.open(self.FILENAME_SCRIPT, 'w', encoding='utf-8') as handle:
            handle.write(self.render_script())

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = [self.FILENAME_SCRIPT]
        codeinfo.stdout_name = self.FILENAME_STDOUT

        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.retrieve_list = [self.FILENAME_RESULTS, self.FILENAME_STDOUT]
        calcinfo.retrieve_temporary_list = [self.FILENAME_CHECKPOINT]
        calcinfo.provenance_exclude_list = []
        if 'checkpoint' in self.inputs:
            with self.inputs.checkpoint.open(mode='rb') as handle:
                folder.create_file_from_filelike(handle, self.FILENAME_RESTART)
            calcinfo.provenance_exclude_list.append(self.FILENAME_RESTART)
        if 'restart_folder' in self.inputs:
            remote = self.inputs.restart_folder
            is_local = PyscfCellParameters.parse(self.inputs.parameters.get_dict()).is_local
            name = self.FILENAME_FRAGMENTS if is_local else self.FILENAME_AMPLITUDES
            source = f'{remote.get_remote_path()}/{name}'
            # Not copied: they may be gigabytes, and where they are gone the script says so instead of the upload.
            calcinfo.remote_symlink_list = [(remote.computer.uuid, source, self.FILENAME_RESTART_AMPLITUDES)]
        return calcinfo


def _sites(structure: orm.StructureData) -> list[tuple[str, t.Sequence[float]]]:
    return [(structure.get_kind(site.kind_name).symbol, site.position) for site in structure.sites]


def _find_misfit(
    parameters: PyscfCellParameters, structure: orm.StructureData, symbols: t.Collection[str]
) -> str | None:
    """Return what of the structure the parameters are not for.

    :param symbols: of the structure and its ghosts.
    """
    if parameters.is_crystal and not all(structure.pbc):
        return f'a crystal is periodic in three directions, the structure in {sum(structure.pbc)}'
    if structure.has_vacancies or structure.is_alloy:
        return 'the structure has partially occupied sites'
    if parameters.moments is not None and len(parameters.moments) != len(structure.sites):
        return f'{len(parameters.moments)} `moments` for {len(structure.sites)} sites'
    real = {kind.symbol for kind in structure.kinds}
    for name, needed in (('basis', set(symbols)), ('pseudo', real), ('auxiliary_basis', real)):
        table = getattr(parameters, name)
        missing = sorted(needed - set(table)) if isinstance(table, dict) else []
        if missing:
            return f'`{name}` has no entry for {", ".join(missing)}'
    return None
