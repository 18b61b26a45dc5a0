"""Barriers of the hops of a crystal, or of one path between two structures."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_
from aiida.orm import AbstractCode, Dict, StructureData, TrajectoryData

from aiida_qagenai.calculations.atomistic.barrier import BarrierCalculation
from aiida_qagenai.calculations.atomistic.base import potential_problem, structure_problem
from aiida_qagenai.calculations.atomistic.relax import RelaxCalculation
from aiida_qagenai.calculations.functions.finite_temperature import make_hops
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.finite_temperature import BarrierData
from aiida_qagenai.data.structure import as_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.atomistic import AtomisticWorkChain
from aiida_qagenai.workchains.protocols.atomistic import BarrierSettings, atomistic_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('BarrierWorkChain',)

PATH = 'path'
"""Label of the only job where the two ends are given."""

RELAX = 'relax'
"""Label of the relaxation of the crystal."""


class BarrierWorkChain(AtomisticWorkChain):
    """A crystal and the element that hops into a vacancy → a barrier for every different hop.

    Or the two ends of any other path, given as ``initial`` and ``final`` → its barrier.
    """

    SETTINGS = BarrierSettings

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('structure', valid_type=StructureData, required=False, help='Crystal in which a vacancy hops.')
        spec.input('initial', valid_type=StructureData, required=False, help='Start of the path, instead of a crystal.')
        spec.input('final', valid_type=StructureData, required=False, help='End of the path, atoms in the same order.')
        spec.inputs.validator = validate_inputs
        spec.output('relaxed', valid_type=StructureData, required=False, help='The relaxed crystal.')
        spec.output('hops', valid_type=Dict, required=False, help='Length, Å, and multiplicity of each hop by label.')
        spec.output_namespace('barriers', valid_type=BarrierData, dynamic=True, help='By label, shortest hop first.')
        spec.output_namespace('paths', valid_type=TrajectoryData, dynamic=True, help='By label.')
        spec.outline(
            if_(cls.has_crystal)(while_(cls.must_relax)(cls.relax), cls.find_hops),
            cls.setup,
            while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended),
            cls.finalize,
        )
        spec.exit_code(410, 'ERROR_RELAXATION', message='The crystal was not relaxed: {reason}')
        spec.exit_code(411, 'ERROR_NO_HOPS', message='There is no hop to compute: {reason}')
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of the {count} paths converged; the first: {reason}')
        spec.exit_code(710, 'WARNING_SOME_FAILED', message='{count} paths did not converge: {labels}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structure: AnyCrystal | None = None,
        *,
        potential: str | dict[str, t.Any],
        protocol: str = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        species: str | None = None,
        initial: AnyCrystal | None = None,
        final: AnyCrystal | None = None,
        checkpoint: CheckpointData | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structure: crystal in which ``species`` hops; else give ``initial`` and ``final``: any kind, see
            :func:`~aiida_qagenai.data.structure.as_node`.
        :param potential: name, name and model (``chgnet:r2scan``, ``validator:SCAN``), or the options as a dictionary.
        :param overrides: nested changes to the settings of the protocol.
        :param checkpoint: the validator, if that is the potential.
        :param options: scheduler options of the jobs.
        :raises InvalidInputError: for an unknown protocol, potential or key, or inputs that do not belong together.
        """
        overrides = dict(overrides or {})
        if species is not None:
            overrides['hops'] = {**overrides.get('hops', {}), 'species': species}
        settings = atomistic_settings(BarrierSettings, protocol, potential, overrides)
        structure, initial, final = (None if each is None else as_node(each) for each in (structure, initial, final))
        problem = find_problem(settings, structure, initial, final, checkpoint)
        if problem:
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code = code
        builder.parameters = Dict(settings.model_dump(mode='json'))
        given = {'structure': structure, 'initial': initial, 'final': final, 'checkpoint': checkpoint}
        for name, node in given.items():
            if node is not None:
                setattr(builder, name, node)
        if options:
            builder.options = Dict(options)
        return builder

    def has_crystal(self) -> bool:
        """Return whether the hops of a crystal are wanted."""
        return 'structure' in self.inputs

    def must_relax(self) -> bool:
        """Return whether the relaxation was not yet submitted, or was lost by the machine."""
        return self.should_submit(RELAX)

    def relax(self) -> ToContext:
        """Relax the crystal."""
        builder = self.job(RelaxCalculation, ('relaxation',), structure=self.inputs.structure)
        return ToContext(relaxation=self.submit_once(RELAX, builder))

    def find_hops(self) -> ExitCode | None:
        """Find the hops of the relaxed crystal."""
        child = self.ctx.relaxation
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_RELAXATION.format(reason=ending(child))
        self.out('relaxed', child.outputs.relaxed)
        # Deterministic, so that a step that is repeated after a crash makes an equal node.
        settings = self.settings.hops.model_dump(mode='json')
        try:
            outputs = self.call_once('hops', make_hops, structure=child.outputs.relaxed, settings=Dict(settings))
        except InvalidInputError as exception:
            return self.exit_codes.ERROR_NO_HOPS.format(reason=str(exception))
        self.out('hops', outputs['hops'])
        self.ctx.ends = {label: node for label, node in outputs.items() if label != 'hops'}
        return None

    def setup(self) -> None:
        """List the paths."""
        if not self.has_crystal():
            self.ctx.ends = {PATH: {name: self.inputs[name] for name in ('initial', 'final')}}
        self.start(sorted(self.ctx.ends))

    def builder(self, label: str) -> t.Any:
        """Return the builder of the job of one path."""
        return self.job(BarrierCalculation, ('band',), **self.ctx.ends[label])

    def finalize(self) -> ExitCode | None:
        """Return the barriers that converged."""
        for label, job in self.succeeded().items():
            self.out(f'barriers.{label}', job.outputs.barrier)
            self.out(f'paths.{label}', job.outputs.path)
        if not self.ctx.succeeded:
            reason = next(iter(self.ctx.failed.values()))
            return self.exit_codes.ERROR_ALL_FAILED.format(count=len(self.ctx.tasks), reason=reason)
        if self.ctx.failed:
            labels = ', '.join(sorted(self.ctx.failed))
            return self.exit_codes.WARNING_SOME_FAILED.format(count=len(self.ctx.failed), labels=labels)
        return None


def find_problem(
    settings: BarrierSettings,
    structure: StructureData | None,
    initial: StructureData | None,
    final: StructureData | None,
    checkpoint: CheckpointData | None,
) -> str | None:
    """Return what is wrong with the inputs taken together."""
    ends = [node for node in (initial, final) if node is not None]
    if (structure is None) == (not ends) or len(ends) == 1:
        return 'give either `structure`, or both `initial` and `final`'
    if (structure is None) != (settings.hops is None):
        return '`hops` with the species belong to a `structure`, and not to `initial` and `final`'
    given = [structure] if structure is not None else ends
    for node in given:
        problem = structure_problem(node)
        if problem:
            return problem
    if structure is not None and settings.hops is not None:
        symbols = {kind.symbol for kind in structure.kinds}
        if settings.hops.species not in symbols:
            return f'the structure {structure.get_formula()} contains no {settings.hops.species}'
    if ends:
        first, last = ([site.kind_name for site in node.sites] for node in ends)
        if first != last:
            return '`initial` and `final` must have the same atoms in the same order'
    return potential_problem(settings.potential, given, checkpoint)


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse inputs that do not belong together."""
    if 'parameters' not in value:
        return None
    settings = BarrierSettings.parse(value['parameters'].get_dict())
    return find_problem(settings, *(value.get(name) for name in ('structure', 'initial', 'final', 'checkpoint')))
