"""Structure → the structure relaxed at PBE, with its forces, stress and, on request, phonons at Γ."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_
from aiida_pseudo.data.pseudo import UpfData

from aiida_qagenai.calculations.atomistic.base import validate_structure
from aiida_qagenai.calculations.functions.relaxation import displace_atoms, gamma_phonons, summarize_relaxation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.data.structure import as_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.protocols.relaxation import (
    MAX_FORCE,
    Engine,
    RelaxationSettings,
    relaxation_settings,
)
from aiida_qagenai.workchains.relaxation.engines import ENGINES, find_code_problem

__all__ = ('PbeRelaxWorkChain',)


class PbeRelaxWorkChain(ResumableWorkChain):
    """Relax a crystal at PBE by PySCF or by pw.x of Quantum ESPRESSO, behind one interface.

    pw.x relaxes a crystal with local moments with these parallel, PySCF without. SCAN and CCSD(T) have no forces: relax
    at PBE, then compute single points.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code of the engine: Python with PySCF and ASE, or pw.x.')
        spec.input('structure', valid_type=orm.StructureData, validator=validate_structure, help='The crystal.')
        spec.input(
            'settings', valid_type=orm.Dict, validator=validate_settings, help='Protocol, see `RelaxationSettings`.'
        )
        spec.input(
            'numerics',
            valid_type=orm.Dict,
            help='Complete inputs of the engine: `PyscfCellParameters`, or the namelists `SYSTEM` and `ELECTRONS` and '
            '`kpoints_distance` of pw.x.',
        )
        spec.input_namespace(
            'bases', valid_type=BasisData, dynamic=True, required=False, help='Bases by element, of PySCF.'
        )
        spec.input_namespace(
            'pseudos', valid_type=UpfData, dynamic=True, required=False, help='Pseudopotentials by kind, of pw.x.'
        )
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the jobs.')
        spec.inputs.validator = validate_inputs
        spec.output('relaxed', valid_type=orm.StructureData, required=False, help='The relaxed crystal.')
        spec.output('results', valid_type=orm.Dict, required=False, help='Energy, largest force, pressure, warnings.')
        spec.output('forces', valid_type=orm.ArrayData, required=False, help='Forces (eV/Å) and stress (eV/Å3).')
        spec.output('phonons', valid_type=orm.Dict, required=False, help='Frequencies at Γ, where asked for.')
        spec.outline(
            while_(cls.should_relax)(cls.relax),
            cls.inspect_relaxation,
            if_(cls.should_check_phonons)(
                cls.displace, while_(cls.should_compute_forces)(cls.compute_forces), cls.inspect_forces
            ),
        )
        spec.exit_code(220, 'ERROR_ENGINE_NOT_INSTALLED', message='The engine cannot be used here: {reason}')
        spec.exit_code(430, 'ERROR_NOT_RELAXED', message='Forces of {force:.3f} eV/Å are left, {limit} are too many.')
        spec.exit_code(500, 'ERROR_ENGINE_FAILED', message='The relaxation failed: {reason}')
        spec.exit_code(501, 'ERROR_FORCES_FAILED', message='The forces for the phonons failed: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        protocol: str | RelaxationSettings = DEFAULT_PROTOCOL,
        *,
        engine: Engine = 'pyscf',
        overrides: dict[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
        check_phonons: bool = False,
        **given: t.Any,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structure: any kind, see :func:`~aiida_qagenai.data.structure.as_node`.
        :param protocol: name of a protocol, or complete settings, which say the engine.
        :param engine: ``pyscf``, or ``espresso`` with the extra of that name.
        :param overrides: nested changes to the settings of the protocol.
        :param options: scheduler options of the jobs.
        :param check_phonons: whether to compute the phonons at Γ of the relaxed crystal.
        :param given: what complete settings name: ``families`` of bases for PySCF, ``pseudos`` by element for pw.x.
        :raises InvalidInputError: for an unknown protocol or key, an engine, basis or family that is not installed, or
            an element without pseudopotential.
        """
        changes = {**(overrides or {}), **({'check_phonons': True} if check_phonons else {})}
        settings = (
            protocol if isinstance(protocol, RelaxationSettings) else relaxation_settings(protocol, engine, changes)
        )
        structure = as_node(structure)
        problem = validate_structure(structure, None)
        if problem is not None:
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code, builder.structure = code, structure
        builder.settings = orm.Dict(settings.model_dump(mode='json'))
        for name, value in ENGINES[settings.engine].prepare(settings, structure, **given).items():
            setattr(builder, name, value)
        if options:
            builder.options = orm.Dict(options)
        return builder

    @property
    def settings(self) -> RelaxationSettings:
        """Return the typed settings."""
        return RelaxationSettings.parse(self.inputs.settings.get_dict())

    def submit_structure(self, label: str, structure: orm.StructureData, *, relax: bool) -> orm.ProcessNode:
        """Submit what relaxes ``structure``, or what computes the forces on it."""
        engine = ENGINES[self.settings.engine]
        process, inputs = engine.submission(self.inputs, self.settings, structure, relax=relax)
        return self.submit_once(label, process, **inputs)

    def should_relax(self) -> bool:
        """Return whether the relaxation has to be run, once or again after its process was lost."""
        return self.should_submit('relax')

    def relax(self) -> ToContext | ExitCode:
        """Relax the crystal."""
        # The worker may run in another environment than the one that submitted.
        problem = ENGINES[self.settings.engine].find_problem(self.inputs)
        if problem is not None:
            return self.exit_codes.ERROR_ENGINE_NOT_INSTALLED.format(reason=problem)
        return ToContext(relaxation=self.submit_structure('relax', self.inputs.structure, relax=True))

    def inspect_relaxation(self) -> ExitCode | None:
        """Say how the relaxation ended."""
        child = self.ctx.relaxation
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_ENGINE_FAILED.format(reason=ending(child))
        nodes = ENGINES[self.settings.engine].outcome(child, self.settings)
        outputs = self.call_once(
            'summarize', summarize_relaxation, initial=self.inputs.structure, settings=self.inputs.settings, **nodes
        )
        results = outputs['results'].get_dict()
        self.out('results', outputs['results'])
        self.out('forces', outputs['forces'])
        if results['max_force'] >= MAX_FORCE:
            return self.exit_codes.ERROR_NOT_RELAXED.format(force=results['max_force'], limit=MAX_FORCE)
        self.ctx.relaxed = nodes['relaxed']
        self.out('relaxed', nodes['relaxed'])
        pressure = '' if results['pressure'] is None else f', {results["pressure"]:.2f} GPa'
        self.report(
            f'relaxed in {results["ionic_steps"]} steps: {results["max_force"]:.4f} eV/Å{pressure}, '
            f'volume {100 * results["volume_change"]:+.1f} %'
        )
        return None

    def should_check_phonons(self) -> bool:
        """Return whether the phonons at Γ are wanted."""
        return self.settings.check_phonons

    def displace(self) -> None:
        """Displace the atoms of the relaxed crystal."""
        settings = orm.Dict(self.settings.phonons.model_dump(mode='json'))
        outputs = self.call_once('displace', displace_atoms, structure=self.ctx.relaxed, settings=settings)
        self.ctx.displaced = dict(outputs)

    def should_compute_forces(self) -> bool:
        """Return whether forces have to be computed, once or again after a process was lost."""
        return self.should_submit(*self.ctx.displaced)

    def compute_forces(self) -> ToContext:
        """Compute the forces on the displaced atoms."""
        return ToContext(
            **{
                name: self.submit_structure(name, structure, relax=False)
                for name, structure in self.ctx.displaced.items()
            }
        )

    def inspect_forces(self) -> ExitCode | None:
        """Compute the phonons at Γ."""
        forces = {}
        for name in self.ctx.displaced:
            child = self.ctx[name]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_FORCES_FAILED.format(reason=ending(child))
            forces[name] = ENGINES[self.settings.engine].forces(child)
        settings = orm.Dict(self.settings.phonons.model_dump(mode='json'))
        outputs = self.call_once('phonons', gamma_phonons, structure=self.ctx.relaxed, settings=settings, **forces)
        for text in outputs['result']['warnings']:
            self.report(text)
        self.out('phonons', outputs['result'])
        return None


def validate_settings(value: orm.Dict, _: t.Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range."""
    try:
        settings = RelaxationSettings.parse(value.get_dict())
    except InvalidInputError as exception:
        return str(exception)
    return settings.missing_package()


def validate_inputs(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse inputs that do not belong together."""
    if not all(name in inputs for name in ('code', 'structure', 'settings', 'numerics')):
        return None
    settings = RelaxationSettings.parse(inputs['settings'].get_dict())
    problem = find_code_problem(settings.engine, inputs['code'])
    return problem or ENGINES[settings.engine].find_problem(inputs)
