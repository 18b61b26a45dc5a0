"""Structure → composite CCSD(T) energy with an error estimate, behind the interface of the EnergyWorkChain."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_

from aiida_qagenai.calculations.functions.composite import JOB_PREFIX, assemble_composite
from aiida_qagenai.calculations.functions.energy import ELEMENT_PREFIX
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.energy.base import PyscfCellBaseWorkChain
from aiida_qagenai.workchains.energy.energy import (
    METALLIC,
    EnergyWorkChain,
    estimate_memory,
    validate_references,
)
from aiida_qagenai.workchains.energy.orderings import Moments, OrderingsWorkChain, has_orderings
from aiida_qagenai.workchains.energy.ports import define_energy, define_level, fill_references
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.composite import CompositePlan, Surroundings, plan_composite
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, find_refusal
from aiida_qagenai.workchains.protocols.engines import AnyProtocol
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('CompositeWorkChain', 'builder_of_level')


class CompositeWorkChain(WindowWorkChain):
    """E_HF(mesh, basis → ∞) + E_MP2(mesh, basis → ∞) + [E_CCSD(T) − E_MP2](small basis, coarse mesh).

    Every part is a calculation of its own; the energy carries the parts, their errors and the sum of the costs. When
    one fails for good the others are killed: they would compute what nobody needs.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code that runs PySCF scripts.')
        spec.input('structure', valid_type=orm.StructureData, help='Crystal, isolated atom, or molecule of an element.')
        define_energy(spec)
        spec.inputs['fidelity'].help = 'CCSD(T).'
        define_level(spec)
        spec.input('plan', valid_type=orm.Dict, validator=validate_plan, help='Calculations, see `CompositePlan`.')
        spec.input_namespace(
            'bases', valid_type=BasisData, dynamic=True, required=False, help='By basis and element, from families.'
        )
        spec.input(
            'ghosts',
            valid_type=orm.StructureData,
            required=False,
            help='Sites that lend an atom their basis functions.',
        )
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculations.')
        spec.inputs.validator = validate_inputs
        spec.output_namespace('components', valid_type=orm.Dict, dynamic=True, help='Results of the calculations.')
        spec.outline(
            cls.setup,
            while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended),
            cls.inspect_calculations,
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        fidelity: Fidelity | str = Fidelity.CCSD_T,
        protocol: str | EnergyProtocol = DEFAULT_PROTOCOL,
        *,
        overrides: dict[str, t.Any] | None = None,
        atomic_references: dict[str, EnergyData] | None = None,
        elemental_references: dict[str, EnergyData] | None = None,
        options: dict[str, t.Any] | None = None,
        band_gap: float | None = None,
        ghosts: orm.StructureData | None = None,
        crystal: orm.StructureData | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set; arguments as of the EnergyWorkChain.

        :raises InvalidInputError: for another fidelity than CCSD(T), an unknown protocol or key, a basis that is not
            installed, or a structure that the level does not admit.
        """
        level_of_theory = Fidelity.parse(fidelity)
        if level_of_theory is not Fidelity.CCSD_T:
            message = f'composite energies are of CCSD(T), not of {level_of_theory}: use the EnergyWorkChain'
            raise InvalidInputError(message)
        structure = as_node(structure)
        around = Surroundings.of(structure, ghosts, crystal)
        symbols = {kind.symbol for kind in structure.kinds}
        complete = EnergyProtocol.resolve(protocol, overrides, symbols | around.symbols)
        plan, level, bases = plan_composite(complete, structure, around)
        if (refusal := find_refusal(structure, level_of_theory, level, band_gap)) is not None:
            raise InvalidInputError(refusal)
        builder = cls.get_builder()
        builder.code, builder.structure = code, structure
        builder.fidelity = orm.Str(level_of_theory.value)
        builder.level = orm.Dict(level.model_dump(mode='json'))
        builder.plan = orm.Dict(plan.model_dump(mode='json'))
        if bases:
            builder.bases = bases
        if ghosts is not None:
            builder.ghosts = ghosts
        if options:
            builder.options = orm.Dict(options)
        fill_references(
            builder,
            symbols,
            band_gap=band_gap,
            atomic_references=atomic_references,
            elemental_references=elemental_references,
        )
        return builder

    @property
    def plan(self) -> CompositePlan:
        """Return the plan."""
        return CompositePlan.parse(self.inputs.plan.get_dict())

    def setup(self) -> None:
        """Note what has to be calculated."""
        self.start(self.plan.jobs)
        self.ctx.failed = []

    def submit_task(self, task: str) -> None:
        """Submit one calculation."""
        self.submit_child(task, task, PyscfCellBaseWorkChain, **self.calculation_inputs(task))

    def calculation_inputs(self, label: str) -> dict[str, t.Any]:
        """Return the inputs of one calculation of the plan."""
        job = self.plan.jobs[label]
        pyscf: dict[str, t.Any] = {
            'code': self.inputs.code,
            'structure': self.inputs.structure,
            'parameters': orm.Dict(job.parameters),
            **({'bases': dict(self.inputs.bases[job.basis])} if job.basis else {}),
            **({'ghosts': self.inputs.ghosts} if 'ghosts' in self.inputs else {}),
            **({'metadata': {'options': self.inputs.options.get_dict()}} if 'options' in self.inputs else {}),
        }
        splits = label == self.plan.coupled_cluster and self.plan.separate_triples
        return {'pyscf': pyscf, **({'separate_triples': orm.Bool(True)} if splits else {})}

    def note_ended(self, name: str, task: str, child: orm.ProcessNode) -> None:
        """Note a failure."""
        if not child.is_finished_ok:
            self.ctx.failed.append(task)

    def note_collected(self) -> None:
        """End the other calculations if the energy is lost."""
        if self.ctx.failed:
            self.ctx.waiting = []
            running = {label: pk for label, (pk, _) in self.ctx.running.items()}
            self.kill_children(running, f'{self.ctx.failed[0]} of the same energy has failed')

    def calculation(self, label: str) -> t.Any:
        """Return a calculation that has ended."""
        return self.latest_attempt(label)[0]

    def inspect_calculations(self) -> ExitCode | None:
        """Assemble the energy, or say why there is none."""
        for label in self.ctx.failed[:1]:
            child = self.calculation(label)
            code = 'ERROR_METALLIC' if child.exit_status in METALLIC else 'ERROR_CALCULATION_FAILED'
            return self.exit_codes[code].format(reason=f'{label}: {ending(child)}')
        results = {label: self.calculation(label).outputs.results for label in self.plan.jobs}
        for label, result in results.items():
            self.out(f'components.{label}', result)
        outputs = self.call_once(
            'assemble',
            assemble_composite,
            structure=self.inputs.structure,
            level=self.inputs.level,
            plan=self.inputs.plan,
            **{f'{JOB_PREFIX}{label}': node for label, node in results.items()},
            **self.inputs.get('atomic_references', {}),
            **{
                f'{ELEMENT_PREFIX}{symbol}': node
                for symbol, node in self.inputs.get('elemental_references', {}).items()
            },
        )
        self.out('energy', outputs['result'])
        return None


def builder_of_level(
    code: orm.AbstractCode,
    structure: orm.StructureData,
    fidelity: Fidelity,
    protocol: AnyProtocol,
    *,
    moments: Moments = None,
    only: t.Sequence[str] | None = None,
    **arguments: t.Any,
) -> ProcessBuilder:
    """Return the builder of what a protocol means by a fidelity.

    It is one calculation, for CCSD(T) the composite, and for a crystal with local moments the lowest of its magnetic
    orderings, see :func:`~aiida_qagenai.workchains.energy.orderings.has_orderings`.

    :param moments: initial moments by site or by element, μB; with them CCSD(T) becomes CCSD of two spins.
    :param only: names of the orderings that are computed, all by default.
    :param arguments: of the EnergyWorkChain.
    :raises InvalidInputError: as the EnergyWorkChain, or for moments that do not fit.
    """
    if moments is not None and fidelity is Fidelity.CCSD_T and isinstance(protocol, EnergyProtocol):
        arguments.pop('descriptors', None)
        start = list(initial_moments(structure.get_pymatgen(), moments).values)
        return EnergyWorkChain.get_builder_from_protocol(
            code, structure, fidelity, protocol, moments=start, **arguments
        )
    if has_orderings(structure, fidelity, protocol.settings, moments):
        arguments.pop('descriptors', None)
        return OrderingsWorkChain.get_builder_from_protocol(
            code, structure, fidelity, protocol, moments=moments, only=only, **arguments
        )
    if isinstance(protocol, EnergyProtocol) and fidelity is Fidelity.CCSD_T and protocol.settings.prefer_composite:
        arguments.pop('descriptors', None)
        return CompositeWorkChain.get_builder_from_protocol(code, structure, fidelity, protocol, **arguments)
    return EnergyWorkChain.get_builder_from_protocol(code, structure, fidelity, protocol, **arguments)


def validate_plan(value: orm.Dict, _: t.Any) -> str | None:
    """Refuse a plan that does not hold together."""
    try:
        plan = CompositePlan.parse(value.get_dict(), 'not the plan of a composite energy')
        for job in plan.jobs.values():
            PyscfCellParameters.parse(job.parameters)
    except InvalidInputError as exception:
        return str(exception)
    return None


def validate_inputs(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse what cannot work: structure, level, bases and references must belong together."""
    if not all(inputs.get(name) for name in ('structure', 'fidelity', 'level', 'plan')):
        return None
    fidelity, level = Fidelity.parse(inputs['fidelity'].value), EnergyLevel.parse(inputs['level'].get_dict())
    if fidelity is not Fidelity.CCSD_T:
        return f'composite energies are of CCSD(T), not of {fidelity}'
    gap = inputs['band_gap'].value if 'band_gap' in inputs else None
    if (refusal := find_refusal(inputs['structure'], fidelity, level, gap)) is not None:
        return refusal
    plan = CompositePlan.parse(inputs['plan'].get_dict())
    missing = sorted({job.basis for job in plan.jobs.values() if job.basis} - set(inputs.get('bases') or {}))
    if missing:
        return f'`bases` has no {", ".join(missing)}'
    parameters = PyscfCellParameters.parse(plan.jobs[plan.coupled_cluster].parameters)
    if parameters.is_crystal:
        memory = estimate_memory(parameters, level, inputs['structure'])
        if memory > parameters.max_memory_mb:
            return f'CCSD(T) would need up to {memory:.0f} MB, `max_memory_mb` is {parameters.max_memory_mb:.0f}'
    return validate_references(inputs, fidelity, level)
