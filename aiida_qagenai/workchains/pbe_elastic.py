"""Structure → its elastic tensor at PBE, from the stresses of strained cells by pw.x or PySCF."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida.orm import AbstractCode, Dict, ProcessNode, StructureData

from aiida_qagenai.calculations.functions.elasticity import fit_elastic_tensor, strain_cell
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.protocols.relaxation import MAX_FORCE, Engine, RelaxationSettings
from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain

__all__ = ('PbeElasticSettings', 'PbeElasticWorkChain')

PORTS = ('code', 'numerics', 'bases', 'pseudos', 'options')
"""Inputs of the relaxation that the strained cells share."""


class PbeElasticSettings(StrictModel):
    """Which strains, and how the atoms relax within the strained cells."""

    strains: tuple[t.Annotated[float, pydantic.Field(gt=0, le=0.05)], ...] = pydantic.Field(
        (0.01,), min_length=1, max_length=5, description='Amplitudes; each component is strained by ± each of them'
    )
    max_force: float = pydantic.Field(0.01, gt=0, lt=MAX_FORCE, description='On an atom of a strained cell, eV/Å')
    max_concurrent: int = pydantic.Field(1, ge=1, description='Strained cells that are computed at a time')


class PbeElasticWorkChain(WindowWorkChain):
    """Relax a crystal at PBE, strain it, relax its atoms in each strained cell, and fit the stresses.

    Strains that the space group maps onto each other are computed once. The cell has to relax: by pw.x, or by PySCF
    from 2.14 on, which has the stress.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(PbeRelaxWorkChain, exclude=('metadata',))
        spec.input(
            'elasticity',
            valid_type=Dict,
            validator=validator(PbeElasticSettings.parse),
            help='Strains: `PbeElasticSettings`.',
        )
        spec.output_namespace('elastic', valid_type=ElasticData, dynamic=True, help='The tensor, as `crystal`.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='The relaxed crystal likewise.')
        spec.outline(
            while_(cls.should_relax)(cls.relax),
            cls.strain,
            while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended),
            cls.finalize,
        )
        spec.exit_code(500, 'ERROR_NOT_RELAXED', message='The crystal was not relaxed: {reason}')
        spec.exit_code(501, 'ERROR_NO_STRESS', message='{label} has no stress: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structure: AnyCrystal,
        protocol: str = DEFAULT_PROTOCOL,
        *,
        engine: Engine = 'espresso',
        overrides: dict[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structure: any kind, see :func:`~aiida_qagenai.data.structure.as_node`.
        :param protocol: of relaxations.
        :param overrides: nested changes to its settings; ``elasticity`` are those of ``PbeElasticSettings``.
        :param options: scheduler options of the jobs.
        :raises InvalidInputError: as ``PbeRelaxWorkChain``, or if only the atoms relax.
        """
        changes = {'freedom': 'cell', **(overrides or {})}
        asked = PbeElasticSettings.parse(changes.pop('elasticity', {}), 'invalid settings', 'elasticity')
        found = PbeRelaxWorkChain.get_builder_from_protocol(
            code, structure, protocol, engine=engine, overrides=changes, options=options
        )
        if not RelaxationSettings.parse(found.settings.get_dict()).moves_cell:
            raise InvalidInputError('an elastic tensor needs a relaxed cell: leave `freedom` as it is')
        builder = cls.get_builder()
        for name in ('structure', 'settings', *PORTS):
            if found.get(name):
                builder[name] = found[name]
        builder.elasticity = Dict(asked.dump())
        return builder

    @property
    def asked(self) -> PbeElasticSettings:
        """Return the typed settings of the strains."""
        return PbeElasticSettings.parse(self.inputs.elasticity.get_dict())

    def should_relax(self) -> bool:
        """Return whether the relaxation has to be submitted, once or again after the machine lost it."""
        return self.should_submit('relax')

    def relax(self) -> ToContext:
        """Relax atoms and cell."""
        inputs = self.exposed_inputs(PbeRelaxWorkChain)
        return ToContext(relaxation=self.submit_once('relax', PbeRelaxWorkChain, **inputs))

    def strain(self) -> ExitCode | None:
        """Strain the relaxed crystal."""
        child = self.ctx.relaxation
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_NOT_RELAXED.format(reason=ending(child))
        if 'stress' not in child.outputs.forces.get_arraynames():
            return self.exit_codes.ERROR_NO_STRESS.format(label='The crystal', reason='the engine has none')
        settings = Dict({'strains': list(self.asked.strains)})
        self.ctx.strains = settings
        self.ctx.strained = self.call_once('strain', strain_cell, structure=child.outputs.relaxed, settings=settings)
        self.start(sorted(self.ctx.strained))
        self.ctx.stresses = {}
        self.ctx.failed = {}
        return None

    def ready(self) -> list[str]:
        """Return the strained cells that may start now; none after one has failed."""
        if self.ctx.failed:
            self.ctx.waiting = []
        return list(self.ctx.waiting[: self.asked.max_concurrent - len(self.ctx.running)])

    def submit_task(self, task: str) -> None:
        """Relax the atoms in one strained cell."""
        inputs = self.exposed_inputs(PbeRelaxWorkChain)
        settings = RelaxationSettings.parse(inputs['settings'].get_dict())
        changes = {'freedom': 'atoms', 'max_force': self.asked.max_force, 'check_phonons': False}
        inputs.update(
            structure=self.ctx.strained[task],
            settings=Dict(settings.model_copy(update=changes).model_dump(mode='json')),
        )
        self.submit_child(task, task, PbeRelaxWorkChain, **inputs)

    def note_ended(self, name: str, task: str, child: ProcessNode) -> None:
        """Take up the stress of a strained cell."""
        if child.is_finished_ok:
            self.ctx.stresses[task] = child.outputs.forces
        else:
            self.ctx.failed[task] = ending(child)

    def note_collected(self) -> None:
        """Report how far the strained cells are."""
        self.report(f'{len(self.ctx.stresses)} of {len(self.ctx.strained)} strained cells computed')

    def finalize(self) -> ExitCode | None:
        """Return the tensor."""
        for label, reason in self.ctx.failed.items():
            return self.exit_codes.ERROR_NO_STRESS.format(label=label, reason=reason)
        outputs = self.ctx.relaxation.outputs
        found = self.call_once(
            'fit',
            fit_elastic_tensor,
            initial=self.inputs.structure,
            relaxed=outputs.relaxed,
            settings=self.ctx.strains,
            relaxation=outputs.results,
            unstrained=outputs.forces,
            **self.ctx.stresses,
        )
        self.out('elastic.crystal', found['result'])
        self.out('relaxed.crystal', outputs.relaxed)
        return None
