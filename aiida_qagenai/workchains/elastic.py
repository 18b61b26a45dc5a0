"""Elastic tensors of many crystals, in as few jobs as the settings allow."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida.orm import AbstractCode, Dict, StructureData

from aiida_qagenai.calculations.atomistic.base import potential_problem, structure_problem
from aiida_qagenai.calculations.atomistic.elastic import ElasticCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.data.structure import as_nodes
from aiida_qagenai.engine.resumable import nested_outputs
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.atomistic import AtomisticWorkChain
from aiida_qagenai.workchains.protocols.atomistic import ElasticSettings, atomistic_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('ElasticWorkChain',)


class ElasticWorkChain(AtomisticWorkChain):
    """Structures → elastic tensor of each: relaxed, strained, atoms relaxed again, stresses fitted.

    Every crystal has an ``ElasticData``, whatever became of it, unless its whole job failed. A mechanically unstable
    crystal is a result and no failure.
    """

    SETTINGS = ElasticSettings

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Crystals by label.')
        spec.inputs.validator = validate_inputs
        spec.output_namespace('elastic', valid_type=ElasticData, dynamic=True, help='By label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed structures by label.')
        spec.outline(cls.setup, while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended), cls.finalize)
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of {count} crystals has a tensor; the first: {reason}')
        spec.exit_code(710, 'WARNING_SOME_FAILED', message='{count} crystals have no elastic tensor: {labels}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structures: t.Mapping[str, AnyCrystal],
        *,
        potential: str | dict[str, t.Any],
        protocol: str = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        checkpoint: CheckpointData | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structures: crystals by label (letters and digits), of any kind, see
            :func:`~aiida_qagenai.data.structure.as_node`.
        :param potential: name, name and model (``chgnet:r2scan``, ``validator:SCAN``), or the options as a dictionary.
        :param overrides: nested changes to the settings of the protocol.
        :param checkpoint: the validator, if that is the potential.
        :param options: scheduler options of the jobs.
        :raises InvalidInputError: for an unknown protocol, potential or key, or structures that are not crystals.
        """
        settings = atomistic_settings(ElasticSettings, protocol, potential, overrides)
        nodes = as_nodes(structures)
        problem = find_problem(settings, nodes, checkpoint)
        if problem:
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code = code
        builder.structures = nodes
        builder.parameters = Dict(settings.model_dump(mode='json'))
        if checkpoint is not None:
            builder.checkpoint = checkpoint
        if options:
            builder.options = Dict(options)
        return builder

    def setup(self) -> None:
        """Divide the crystals among as few jobs as may be."""
        labels, size = sorted(self.inputs.structures), self.settings.max_crystals
        parts = [labels[start : start + size] for start in range(0, len(labels), size)]
        self.ctx.parts = {f'job{number}': part for number, part in enumerate(parts)}
        self.start(self.ctx.parts)

    def builder(self, label: str) -> t.Any:
        """Return the builder of one job."""
        structures = {name: self.inputs.structures[name] for name in self.ctx.parts[label]}
        return self.job(ElasticCalculation, ('relaxation', 'elasticity'), structures=structures)

    def finalize(self) -> ExitCode | None:
        """Return what there is and say what is missing."""
        reasons = {label: self.ctx.failed[job] for job in self.ctx.failed for label in self.ctx.parts[job]}
        for job in self.succeeded().values():
            outputs = nested_outputs(job)
            for label, node in outputs['elastic'].items():
                self.out(f'elastic.{label}', node)
                if not node.base.attributes.get('has_tensor'):
                    reasons[label] = node.base.attributes.get('reason')
            for label, node in outputs.get('relaxed', {}).items():
                self.out(f'relaxed.{label}', node)
        for label, reason in sorted(reasons.items()):
            self.report(f'{label} has no elastic tensor: {reason}')
        count = len(self.inputs.structures)
        if len(reasons) == count:
            return self.exit_codes.ERROR_ALL_FAILED.format(count=count, reason=next(iter(reasons.values())))
        if reasons:
            return self.exit_codes.WARNING_SOME_FAILED.format(count=len(reasons), labels=', '.join(sorted(reasons)))
        return None


def find_problem(
    settings: ElasticSettings, structures: t.Mapping[str, StructureData], checkpoint: CheckpointData | None
) -> str | None:
    """Return what is wrong with the inputs taken together; what a potential does not cover is told by crystal."""
    if not structures:
        return 'no structures are given'
    for label, structure in structures.items():
        problem = structure_problem(structure)
        if problem:
            return f'`{label}`: {problem}'
    return potential_problem(settings.potential, (), checkpoint)


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse inputs that do not belong together."""
    if 'parameters' not in value:
        return None
    settings = ElasticSettings.parse(value['parameters'].get_dict())
    return find_problem(settings, value.get('structures') or {}, value.get('checkpoint'))
