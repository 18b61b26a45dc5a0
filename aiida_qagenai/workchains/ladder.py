"""Compute many structures on many levels of theory, a bounded number at a time."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.orm import AbstractCode, Bool, Dict, Int, ProcessNode, Str, StructureData, load_node

from aiida_qagenai.calculations.functions.dataset import energy_label, split_energy_label
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.counterpoise import builder_with_atoms
from aiida_qagenai.workchains.pbe_relax import PbeRelaxWorkChain
from aiida_qagenai.workchains.protocols.relaxation import RelaxFirst
from aiida_qagenai.workchains.relax_first import define_relax_inputs, relax_problem
from aiida_qagenai.workchains.resumable import ResumableWorkChain, ending
from aiida_qagenai.workchains.window import WindowMixin

__all__ = ('LadderWorkChain', 'ready')

RELAX = 'relax'
FIRST = (RELAX, Fidelity.PBE.value)
"""Steps that others wait for; the further ones are the fidelities."""


class LadderWorkChain(WindowMixin, ResumableWorkChain):
    """Structures and a plan → an ``EnergyData`` per structure and fidelity.

    As many calculations run at a time as ``max_concurrent`` allows: when one ends, the next starts. PBE comes first, so
    that the gap tells metals apart before a CCSD(T) is started. One that fails is counted, and the others go on. With
    ``relax`` each structure is relaxed at PBE first, and every level is computed at the relaxed geometry; one that
    cannot be relaxed is not computed at all.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Code that runs PySCF scripts.')
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Structures by label.')
        spec.input('plan', valid_type=Dict, validator=validate_plan, help='Names of the fidelities by label.')
        spec.input('protocol', valid_type=Str, help='Protocol of the EnergyWorkChain.')
        spec.input_namespace('references', dynamic=True, valid_type=EnergyData, help='Atoms by fidelity and element.')
        spec.input_namespace('elements', dynamic=True, valid_type=EnergyData, help='Reference states, likewise.')
        spec.input('max_concurrent', valid_type=Int, default=lambda: Int(8), help='Calculations at a time.')
        spec.input('descriptors', valid_type=Bool, default=lambda: Bool(True), help='Compute descriptors at PBE.')
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the calculations.')
        spec.input(
            'relax', valid_type=Dict, required=False, validator=validate_relax, help='Relax first, see `RelaxFirst`.'
        )
        define_relax_inputs(spec)
        spec.inputs.validator = validate_inputs
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='By label and fidelity.')
        spec.output_namespace('descriptors', valid_type=Dict, dynamic=True, help='Quantum descriptors by label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed structures by label.')
        spec.outline(cls.setup, while_(cls.has_tasks)(cls.submit_ready, cls.collect_finished), cls.finalize)
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of the {count} calculations succeeded.')

    def setup(self) -> None:
        """Order the tasks: relaxations, PBE, then the longest first, so that none of them is left alone at the end."""
        plan = self.inputs.plan.get_dict()
        tasks = [[Fidelity.parse(name).value, label] for label, names in plan.items() for name in names]
        if 'relax' in self.inputs:
            tasks += [[RELAX, label] for label in plan]
        tasks.sort(key=lambda task: (-urgency(task[0]), -len(self.inputs.structures[task[1]].sites), task[1]))
        self.ctx.waiting = tasks
        self.ctx.running = {}
        self.ctx.relaxed = {}
        self.ctx.gaps = {}
        self.ctx.failed = []
        self.ctx.refused = []
        self.ctx.succeeded = {}

    def has_tasks(self) -> bool:
        """Return whether calculations are left."""
        return bool(self.ctx.waiting or self.ctx.running)

    def submit_ready(self) -> None:
        """Keep as many calculations going as may be, and wait until one of them ends."""
        running = self.ctx.running
        while tasks := self.ready():
            for task in tasks:
                self.ctx.waiting.remove(task)
                self.submit_task(*task)
        self.to_context(**{name: load_node(pk) for name, (pk, *_) in running.items()})

    def ready(self) -> list[t.Sequence[str]]:
        """Return the tasks that may start now."""
        running = [task for _, *task in self.ctx.running.values()]
        return ready(self.ctx.waiting, running, self.inputs.max_concurrent.value - len(running))

    def submit_task(self, step: str, label: str) -> None:
        """Submit one calculation, or note that it is refused."""
        name = task_name(step, label)
        try:
            builder = self.relaxation(label) if step == RELAX else self.builder(Fidelity(step), label)
        except InvalidInputError as exception:
            self.report(f'{name} was refused: {exception}')
            self.ctx.refused.append(name)
            if step == RELAX:
                self.drop(label)
            return
        self.ctx.running[name] = [self.submit_once(name, builder).pk, step, label]

    def relaxation(self, label: str) -> t.Any:
        """Return the builder of one relaxation."""
        settings = RelaxFirst.parse(self.inputs.relax.get_dict())
        return PbeRelaxWorkChain.get_builder_from_protocol(
            code=self.inputs.get('relax_code', self.inputs.code),
            structure=self.inputs.structures[label],
            protocol=settings.protocol,
            engine=settings.engine,
            overrides=settings.overrides,
            options=self.inputs.relax_options.get_dict() if 'relax_options' in self.inputs else None,
        )

    def drop(self, label: str) -> None:
        """Compute no energy of a structure: a level at another geometry than the others is worth nothing."""
        self.ctx.waiting = [task for task in self.ctx.waiting if task[1] != label]

    def structure(self, label: str) -> StructureData:
        """Return the structure whose energies are computed."""
        relaxed: StructureData | None = self.ctx.relaxed.get(label)
        return self.inputs.structures[label] if relaxed is None else relaxed

    def builder(self, fidelity: Fidelity, label: str) -> t.Any:
        """Return the builder of one calculation."""
        structure = self.structure(label)
        references = self.inputs.get('references', {}).get(fidelity.label, None)
        elements = self.inputs.get('elements', {}).get(fidelity.label, {})
        # CCSD(T) of metals does not exist: a compound of one is anchored only.
        has_elements = elements and set(structure.get_symbols_set()) <= set(elements)
        return builder_with_atoms(
            code=self.inputs.code,
            structure=structure,
            fidelity=fidelity,
            protocol=self.inputs.protocol.value,
            references=dict(references) if references else None,
            elements=dict(elements) if has_elements else None,
            options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
            band_gap=self.ctx.gaps.get(label) if fidelity is Fidelity.CCSD_T else None,
            descriptors=fidelity is Fidelity.PBE and self.inputs.descriptors.value,
        )

    def collect_finished(self) -> None:
        """Note what has ended; what the machine lost goes in again."""
        for name, (_, step, label) in list(self.ctx.running.items()):
            child = self.ctx.get(name)
            if not isinstance(child, ProcessNode):
                continue
            is_lost = self.should_submit(name)
            del self.ctx[name], self.ctx.running[name]
            if is_lost:
                self.ctx.waiting.insert(0, [step, label])
            elif child.is_finished_ok:
                self.note_success(child, step, label)
            else:
                self.ctx.failed.append(name)
                self.report(f'{name} failed: {ending(child)}')
                if step == RELAX:
                    self.drop(label)
        counts = f'{len(self.ctx.succeeded)} succeeded, {len(self.ctx.failed)} failed, {len(self.ctx.refused)} refused'
        self.report(f'{counts}, {len(self.ctx.running)} running, {len(self.ctx.waiting)} to come')

    def note_success(self, child: ProcessNode, step: str, label: str) -> None:
        """Keep what later tasks need, and what is returned."""
        if step == RELAX:
            self.ctx.relaxed[label] = child.outputs.relaxed
            self.out(f'relaxed.{label}', child.outputs.relaxed)
            return
        self.ctx.succeeded[task_name(step, label)] = child.pk
        if step == Fidelity.PBE.value:
            gap = child.outputs.energy.content.band_gap
            if gap is not None:
                self.ctx.gaps[label] = gap

    def finalize(self) -> ExitCode | None:
        """Return the energies and descriptors of what succeeded."""
        for name, pk in self.ctx.succeeded.items():
            outputs = load_node(pk).outputs
            self.out(f'energies.{name}', outputs.energy)
            if 'descriptors' in outputs:
                self.out(f'descriptors.{split_energy_label(name)[0]}', outputs.descriptors)
        count = sum(len(names) for names in self.inputs.plan.get_dict().values())
        if count and not self.ctx.succeeded:
            exit_code: ExitCode = self.exit_codes.ERROR_ALL_FAILED.format(count=count)
            return exit_code
        return None


def urgency(step: str) -> int:
    """Return the place of a step in the order: everything waits for the first two, and long ones start early."""
    if step in FIRST:
        return len(LADDER) + len(FIRST) - FIRST.index(step)
    return Fidelity(step).rank


def ready(
    waiting: t.Sequence[t.Sequence[str]], running: t.Collection[t.Sequence[str]], limit: int
) -> list[t.Sequence[str]]:
    """Return the first ``limit`` tasks, pairs of step and label, that may start.

    Energies wait for the relaxed structure, and a CCSD(T) for the gap of its structure at PBE.
    """
    open_tasks = {tuple(task) for task in (*waiting, *running)}

    def may_start(step: str, label: str) -> bool:
        needed = [] if step == RELAX else [RELAX]
        if step == Fidelity.CCSD_T.value:
            needed.append(Fidelity.PBE.value)
        return not any((name, label) in open_tasks for name in needed)

    return [task for task in waiting if may_start(*task)][: max(0, limit)]


def task_name(step: str, label: str) -> str:
    """Return the label of the call of a task."""
    return f'{RELAX}{label}' if step == RELAX else energy_label(label, Fidelity(step))


def validate_relax(value: Dict, _: t.Any) -> str | None:
    """Refuse settings that are unknown or out of range."""
    try:
        RelaxFirst.parse(value.get_dict())
    except InvalidInputError as exception:
        return f'`relax`: {exception}'
    return None


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
    """Refuse a plan for structures that are not given, and a code that cannot relax."""
    if 'plan' not in value or 'structures' not in value:
        return None
    missing = sorted(set(value['plan'].get_dict()) - set(value['structures']))
    if missing:
        return f'`plan` names structures that are not given: {", ".join(missing[:5])}'
    return relax_problem(RelaxFirst.parse(value['relax'].get_dict()) if 'relax' in value else None, value)
