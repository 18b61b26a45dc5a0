"""Compute many structures on many levels of theory, a bounded number at a time."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida.orm import AbstractCode, ArrayData, Bool, Dict, Int, List, ProcessNode, StructureData, load_node

from aiida_qagenai.calculations.functions.dataset import split_energy_label
from aiida_qagenai.calculations.functions.orderings import near_lowest
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_magnetic_nodes
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import nested_outputs
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.campaign.state import REFERENCES, reference_outputs
from aiida_qagenai.workchains.energy.counterpoise import builder_with_atoms
from aiida_qagenai.workchains.energy.ladder_order import REFER, RELAX, ready, task_name, urgency
from aiida_qagenai.workchains.energy.orderings import Moments, OrderingsWorkChain, has_orderings, plain_moments
from aiida_qagenai.workchains.energy.ports import define_protocol, fill_protocol, given_any_protocol
from aiida_qagenai.workchains.energy.references import ReferenceWorkChain
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.engines import AnyProtocol, Engine, resolve_protocol
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.protocols.relaxation import RelaxationSettings, relax_section
from aiida_qagenai.workchains.relaxation.pbe_relax import PbeRelaxWorkChain
from aiida_qagenai.workchains.relaxation.relax_first import (
    complete_relaxation,
    define_relax_inputs,
    relax_inputs,
    relax_problem,
)

__all__ = ('LadderWorkChain',)


class LadderWorkChain(WindowWorkChain):
    """Structures and a plan → an ``EnergyData`` per structure and fidelity.

    As many calculations run at a time as ``max_concurrent`` allows: when one ends, the next starts. PBE comes first, so
    that the gap tells metals apart before a CCSD(T) is started. One that fails is counted, and the others go on. With
    ``relax`` each structure is relaxed at PBE first, and every level is computed at the relaxed geometry; one that
    cannot be relaxed is not computed at all. Of a crystal with local moments the lowest magnetic ordering counts; the
    higher levels compute those that are near it at PBE. Where ``reference_elements`` are named, what formation energies
    refer to is computed as well, level by level: that of PBE first, that of the others beside the last energies at PBE.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Code that runs PySCF scripts, or pw.x.')
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Structures by label.')
        spec.input('plan', valid_type=Dict, validator=validate_plan, help='Names of the fidelities by label.')
        define_protocol(spec, engines=True)
        spec.input(
            'moments',
            valid_type=Dict,
            required=False,
            help='Initial moments (μB) of structures by label, each by site or by element; from rules by default.',
        )
        for name, text in REFERENCES.items():
            spec.input_namespace(name, dynamic=True, valid_type=EnergyData, help=text)
        spec.input(
            'reference_elements',
            valid_type=List,
            required=False,
            help='Elements whose reference energies are computed as well.',
        )
        spec.input(
            'isolated_atoms',
            valid_type=Bool,
            default=lambda: Bool(True),
            help='Whether the isolated atoms of the reference elements are computed.',
        )
        spec.input(
            'self_consistent',
            valid_type=Bool,
            default=lambda: Bool(False),
            help='Whether the reference elements are also computed in their reference states.',
        )
        spec.input('max_concurrent', valid_type=Int, default=lambda: Int(8), help='Calculations at a time.')
        spec.input('descriptors', valid_type=Bool, default=lambda: Bool(True), help='Compute descriptors at PBE.')
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the calculations.')
        spec.input(
            'relax',
            valid_type=Dict,
            required=False,
            validator=validator(RelaxationSettings.parse),
            help='Complete settings of relaxations before the energies, see `RelaxationSettings`; none by default.',
        )
        define_relax_inputs(spec)
        spec.inputs.validator = validate_inputs
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='By label and fidelity.')
        spec.output_namespace('descriptors', valid_type=Dict, dynamic=True, help='Quantum descriptors by label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed structures by label.')
        spec.output_namespace(
            'forces', valid_type=ArrayData, dynamic=True, help='Forces and stress on the relaxed structures by label.'
        )
        for name in REFERENCES:
            spec.output_namespace(
                name, valid_type=EnergyData, dynamic=True, help='Computed here, by level and element.'
            )
        spec.outline(cls.setup, while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended), cls.finalize)
        spec.exit_code(410, 'ERROR_REFERENCES', message='No formation energy at {fidelity}: {reason}')
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of the {count} calculations succeeded.')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structures: t.Mapping[str, AnyCrystal],
        plan: t.Mapping[str, t.Sequence[Fidelity | str]],
        protocol: str | AnyProtocol = DEFAULT_PROTOCOL,
        *,
        engine: Engine | None = None,
        pseudos: str | None = None,
        overrides: dict[str, t.Any] | None = None,
        reference_elements: t.Sequence[str] = (),
        isolated_atoms: bool = True,
        options: dict[str, t.Any] | None = None,
        max_concurrent: int = 8,
        descriptors: bool = False,
        moments: t.Mapping[str, Moments] | None = None,
        relax: t.Mapping[str, t.Any] | None = None,
        relax_code: AbstractCode | None = None,
        relax_options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder filled from a protocol.

        :param structures: structures by label, of any kind, see :func:`~aiida_qagenai.data.structure.as_node`.
        :param plan: levels of theory of each structure by label.
        :param engine: ``pyscf`` by default, or ``espresso``.
        :param pseudos: label of a family of pseudopotentials, in place of that of the protocol of pw.x.
        :param overrides: nested changes to the settings of the protocol.
        :param reference_elements: elements whose reference energies are computed as well.
        :param isolated_atoms: whether these are the isolated atoms; the protocol may correct atoms in each crystal. Of
            pw.x they are the elements in their reference states.
        :param options: scheduler options of the calculations.
        :param moments: initial moments (μB) of structures by label, each by site or by element; by default those that a
            structure of pymatgen or ASE has.
        :param relax: relax each structure first: ``engine``, ``protocol`` and changes to the settings of that protocol.
        :param relax_code: code that relaxes, with ``relax_options``; pw.x needs it, PySCF is ``code`` by default.
        :raises InvalidInputError: for an unknown protocol, fidelity or key.
        """
        structures, moments = as_magnetic_nodes(structures, moments or {})
        symbols = {kind.symbol for structure in structures.values() for kind in structure.kinds}
        needed = symbols | set(reference_elements)
        complete = resolve_protocol(protocol, overrides, needed, engine=engine, pseudos=pseudos)
        relaxation, nodes = complete_relaxation(relax_section(relax), symbols)
        if isinstance(complete, EnergyProtocol):
            complete = EnergyProtocol(complete.settings, {**complete.families, **nodes.pop('bases', {})})
        start = {label: plain_moments(values) for label, values in moments.items()}
        plain = {'relax_options': relax_options, 'options': options, 'moments': start}
        places = {'relax_code': relax_code, **{name: Dict(value) for name, value in plain.items() if value}, **nodes}
        builder = cls.get_builder()
        builder.code, builder.structures = code, structures
        for name, value in {**relax_inputs(relaxation, {}), **places}.items():
            if value is not None:
                setattr(builder, name, value)
        builder.plan = Dict({label: [Fidelity.parse(level).value for level in names] for label, names in plan.items()})
        fill_protocol(builder, complete)
        builder.max_concurrent, builder.descriptors = Int(max_concurrent), Bool(descriptors)
        if reference_elements:
            builder.reference_elements = List(list(reference_elements))
            builder.isolated_atoms = Bool(isolated_atoms and complete.has_atoms)
            builder.self_consistent = Bool(not complete.has_atoms)
        return builder

    def setup(self) -> None:
        """Order the tasks: what others wait for, then the longest first, so that none is left alone at the end."""
        plan = self.inputs.plan.get_dict()
        tasks = [[Fidelity.parse(name).value, label] for label, names in plan.items() for name in names]
        levels = sorted({level for level, _ in tasks})
        if 'relax' in self.inputs:
            tasks += [[RELAX, label] for label in plan]
        if 'reference_elements' in self.inputs:
            tasks += [[REFER, level] for level in levels]
        tasks.sort(key=lambda task: (-urgency(*task), -self.num_sites(*task), task[1]))
        self.start(tasks)
        self.ctx.relaxed = {}
        self.ctx.references = {name: {} for name in REFERENCES}
        self.ctx.gaps = {}
        self.ctx.magnetic = [label for label in plan if self.is_magnetic(label)]
        self.ctx.orderings = {}
        self.ctx.failed = []
        self.ctx.refused = []
        self.ctx.succeeded = {}
        self.ctx.without_references = None

    def num_sites(self, step: str, label: str) -> int:
        """Return how many atoms a task computes, if it is one of a structure."""
        return 0 if step == REFER else len(self.inputs.structures[label].sites)

    def ready(self) -> list[t.Sequence[str]]:
        """Return the tasks that may start now."""
        running = [task for _, task in self.ctx.running.values()]
        limit = self.inputs.max_concurrent.value - len(running)
        return ready(self.ctx.waiting, running, limit, self.ctx.magnetic)

    def submit_task(self, task: t.Sequence[str]) -> None:
        """Submit one calculation, or note that it is refused."""
        step, label = task
        name = task_name(step, label)
        makers = {RELAX: self.relaxation, REFER: self.reference_builder}
        try:
            builder = makers[step](label) if step in makers else self.builder(Fidelity(step), label)
            self.submit_child(name, task, builder)
        except ValueError as exception:
            # InvalidInputError of the builder, or what the ports of the child refuse, such as too little memory.
            self.report(f'{name} was refused: {exception}')
            self.ctx.refused.append(name)
            self.give_up(step, label, str(exception))

    def relaxation(self, label: str) -> t.Any:
        """Return the builder of one relaxation."""
        settings = RelaxationSettings.parse(self.inputs.relax.get_dict())
        families = {key: dict(bases) for key, bases in self.inputs.get('bases', {}).items()}
        pseudos = self.inputs.get('relax_pseudos')
        given = {'pyscf': {'families': families}, 'espresso': {'pseudos': pseudos}}
        return PbeRelaxWorkChain.get_builder_from_protocol(
            code=self.inputs.get('relax_code', self.inputs.code),
            structure=self.inputs.structures[label],
            protocol=settings,
            **given[settings.engine],
            options=self.inputs.relax_options.get_dict() if 'relax_options' in self.inputs else None,
        )

    def reference_builder(self, level: str) -> t.Any:
        """Return the builder of what the formation energies of one level refer to."""
        return ReferenceWorkChain.get_builder_from_protocol(
            code=self.inputs.code,
            elements=self.inputs.reference_elements.get_list(),
            fidelities=[level],
            protocol=self.protocol,
            atoms=self.inputs.isolated_atoms.value,
            self_consistent=self.inputs.self_consistent.value,
            options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
        )

    @property
    def protocol(self) -> AnyProtocol:
        """Return the settings of the energies and their bases or pseudopotentials."""
        return given_any_protocol(self.inputs)

    def moments(self, label: str) -> Moments:
        """Return the initial moments that were given for a structure."""
        given: Moments = self.inputs.moments.get_dict().get(label) if 'moments' in self.inputs else None
        return given

    def is_magnetic(self, label: str) -> bool:
        """Return whether magnetic orderings of a structure are compared; what is refused is refused by its energies."""
        try:
            settings = self.protocol.settings
            return has_orderings(self.inputs.structures[label], Fidelity.PBE, settings, self.moments(label))
        except InvalidInputError:
            return False

    def known(self, name: str, fidelity: Fidelity) -> dict[str, EnergyData]:
        """Return the references of a level, of the kind ``name``, by element: computed here, or given."""
        computed: dict[str, EnergyData] | None = self.ctx.references[name].get(fidelity.label)
        return computed or dict(self.inputs.get(name, {}).get(fidelity.label, {}))

    def give_up(self, step: str, label: str, reason: str) -> None:
        """Leave out what cannot be computed without a step.

        A level at another geometry than the others is worth nothing, and without references no energy is.
        """
        if step == RELAX:
            self.ctx.waiting = [task for task in self.ctx.waiting if task[1] != label]
        elif step == REFER:
            self.ctx.waiting = []
            self.ctx.without_references = [label, reason]

    def structure(self, label: str) -> StructureData:
        """Return the structure whose energies are computed."""
        relaxed: StructureData | None = self.ctx.relaxed.get(label)
        return self.inputs.structures[label] if relaxed is None else relaxed

    def builder(self, fidelity: Fidelity, label: str) -> t.Any:
        """Return the builder of one calculation."""
        structure = self.structure(label)
        atoms, elements = (self.known(name, fidelity) for name in REFERENCES)
        # CCSD(T) of metals does not exist: a compound of one is anchored only.
        has_elements = elements and set(structure.get_symbols_set()) <= set(elements)
        below_top = fidelity is not Fidelity.CCSD_T
        builder = builder_with_atoms(
            code=self.inputs.code,
            structure=structure,
            fidelity=fidelity,
            protocol=self.protocol,
            atomic_references=atoms or None,
            elemental_references=elements if has_elements else None,
            options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
            band_gap=self.ctx.gaps.get(label) if fidelity is Fidelity.CCSD_T else None,
            descriptors=fidelity is Fidelity.PBE and self.inputs.descriptors.value,
            moments=self.moments(label) if below_top else None,
            only=self.ctx.orderings.get(label) if below_top and fidelity is not Fidelity.PBE else None,
        )
        if self.inputs.max_concurrent.value == 1 and builder.process_class is OrderingsWorkChain:
            builder.max_concurrent = Int(1)
        return builder

    def note_ended(self, name: str, task: t.Sequence[str], child: ProcessNode) -> None:
        """Note what has ended, and leave out what waits for it in vain."""
        step, label = task
        if child.is_finished_ok:
            self.note_success(child, step, label)
            return
        self.ctx.failed.append(name)
        self.report(f'{name} failed: {ending(child)}')
        self.give_up(step, label, ending(child))

    def note_collected(self) -> None:
        """Report how far the ladder is."""
        counts = f'{len(self.ctx.succeeded)} succeeded, {len(self.ctx.failed)} failed, {len(self.ctx.refused)} refused'
        self.report(f'{counts}, {len(self.ctx.running)} running, {len(self.ctx.waiting)} to come')

    def note_success(self, child: ProcessNode, step: str, label: str) -> None:
        """Keep what later tasks need, and what is returned."""
        if step == RELAX:
            self.ctx.relaxed[label] = child.outputs.relaxed
            self.out(f'relaxed.{label}', child.outputs.relaxed)
            self.out(f'forces.{label}', child.outputs.forces)
            return
        if step == REFER:
            for name, energies in references_by_element(child).items():
                self.ctx.references[name][Fidelity(label).label] = energies
            return
        self.ctx.succeeded[task_name(step, label)] = child.pk
        if step == Fidelity.PBE.value:
            gap = child.outputs.energy.content.band_gap
            if gap is not None:
                self.ctx.gaps[label] = gap
            if 'orderings' in child.outputs:
                energies = nested_outputs(child)['orderings']
                self.ctx.orderings[label] = near_lowest(energies, self.protocol.settings.orderings.window)

    def finalize(self) -> ExitCode | None:
        """Return the energies and descriptors of what succeeded."""
        for name, pk in self.ctx.succeeded.items():
            outputs = load_node(pk).outputs
            self.out(f'energies.{name}', outputs.energy)
            if 'descriptors' in outputs:
                self.out(f'descriptors.{split_energy_label(name)[0]}', outputs.descriptors)
        for name, energy in reference_outputs(self.ctx.references, prefix=''):
            self.out(name, energy)
        if self.ctx.without_references:
            fidelity, reason = self.ctx.without_references
            return self.exit_codes.ERROR_REFERENCES.format(fidelity=fidelity, reason=reason)
        count = sum(len(names) for names in self.inputs.plan.get_dict().values())
        if count and not self.ctx.succeeded:
            exit_code: ExitCode = self.exit_codes.ERROR_ALL_FAILED.format(count=count)
            return exit_code
        return None


def references_by_element(node: ProcessNode) -> dict[str, dict[str, EnergyData]]:
    """Return the references that a reference work chain computed at one level, by kind and element."""
    outputs = nested_outputs(node)
    return {
        name: {element: energy for element, levels in outputs.get(name, {}).items() for energy in levels.values()}
        for name in REFERENCES
    }


def validate_plan(value: Dict, _: t.Any) -> str | None:
    """Refuse unknown fidelities."""
    for label, names in value.get_dict().items():
        for name in names:
            try:
                Fidelity.parse(name)
            except InvalidInputError as exception:
                return f'`plan.{label}`: {exception}'
    return None


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse a plan for structures that are not given, references twice over, and a code that cannot relax."""
    if 'plan' not in value or 'structures' not in value:
        return None
    if 'reference_elements' in value and any(value.get(name) for name in REFERENCES):
        return '`reference_elements` are to be computed, references are given as well: leave out one of them'
    missing = sorted(set(value['plan'].get_dict()) - set(value['structures']))
    if missing:
        return f'`plan` names structures that are not given: {", ".join(missing[:5])}'
    return relax_problem(RelaxationSettings.parse(value['relax'].get_dict()) if 'relax' in value else None, value)
