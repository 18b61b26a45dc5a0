"""Compute many structures on many levels of theory, a bounded number at a time."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.orm import AbstractCode, Bool, Dict, Int, Str, StructureData

from aiida_qagenai.calculations.functions.dataset import energy_label, split_energy_label
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.composite import builder_of_level
from aiida_qagenai.workchains.pbe_relax import PbeRelaxWorkChain
from aiida_qagenai.workchains.protocols.relaxation import RelaxFirst
from aiida_qagenai.workchains.resumable import ResumableWorkChain, ending

__all__ = ('LadderWorkChain',)


class LadderWorkChain(ResumableWorkChain):
    """Structures and a plan → an ``EnergyData`` per structure and fidelity.

    The levels are climbed from the bottom, so that the gap at PBE tells metals apart before a CCSD(T) is started.
    A calculation that fails is counted and the others go on. With ``relax`` each structure is relaxed at PBE first, and
    every level is computed at the relaxed geometry; one that cannot be relaxed is not computed at all.
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
        spec.input(
            'relax_code',
            valid_type=AbstractCode,
            required=False,
            help='Code that relaxes; by default that of energies.',
        )
        spec.input('relax_options', valid_type=Dict, required=False, help='Scheduler options of the relaxations.')
        spec.inputs.validator = validate_labels
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='By label and fidelity.')
        spec.output_namespace('descriptors', valid_type=Dict, dynamic=True, help='Quantum descriptors by label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed structures by label.')
        spec.outline(
            cls.setup,
            while_(cls.has_relaxations)(cls.submit_relaxations, cls.inspect_relaxations),
            while_(cls.has_tasks)(cls.submit_batch, cls.inspect_batch),
            cls.finalize,
        )
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of the {count} calculations succeeded.')

    def setup(self) -> None:
        """Order the tasks: lower levels first, then smaller structures, so that a batch is of similar length."""
        plan = self.inputs.plan.get_dict()
        tasks = [(Fidelity.parse(name), label) for label, names in plan.items() for name in names]
        tasks.sort(key=lambda task: (task[0].rank, len(self.inputs.structures[task[1]].sites), task[1]))
        self.ctx.tasks = [[fidelity.value, label] for fidelity, label in tasks]
        self.ctx.position = 0
        self.ctx.unrelaxed = sorted({label for _, label in tasks}) if 'relax' in self.inputs else []
        self.ctx.relaxed = {}
        self.ctx.gaps = {}
        self.ctx.failed = []
        self.ctx.refused = []
        self.ctx.succeeded = []

    def has_relaxations(self) -> bool:
        """Return whether structures are left to be relaxed."""
        return bool(self.ctx.unrelaxed)

    def submit_relaxations(self) -> None:
        """Submit the next relaxations; what is refused is not computed."""
        self.ctx.submitted = []
        for label in self.ctx.unrelaxed[: self.inputs.max_concurrent.value]:
            try:
                builder = self.relaxation(label)
            except InvalidInputError as exception:
                self.ctx.unrelaxed.remove(label)
                self.give_up(label, f'was refused: {exception}', self.ctx.refused)
                continue
            self.to_context(**{relax_label(label): self.submit_once(relax_label(label), builder)})
            self.ctx.submitted.append(label)

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

    def inspect_relaxations(self) -> None:
        """Take up the relaxed structures, unless the machine lost a relaxation: then the batch goes in again."""
        if self.should_submit(*map(relax_label, self.ctx.submitted)):
            return
        for label in self.ctx.submitted:
            child = self.ctx.pop(relax_label(label))
            self.ctx.unrelaxed.remove(label)
            if child.is_finished_ok:
                self.ctx.relaxed[label] = child.outputs.relaxed
                self.out(f'relaxed.{label}', child.outputs.relaxed)
            else:
                self.give_up(label, f'could not be relaxed: {ending(child)}', self.ctx.failed)
        self.report(f'{len(self.ctx.relaxed)} structures relaxed, {len(self.ctx.unrelaxed)} left')

    def give_up(self, label: str, reason: str, where: list[str]) -> None:
        """Compute no energy of a structure: a level at another geometry than the others is worth nothing."""
        self.report(f'{label} {reason}')
        where.append(relax_label(label))
        self.ctx.tasks = [task for task in self.ctx.tasks if task[1] != label]

    def structure(self, label: str) -> StructureData:
        """Return the structure whose energies are computed."""
        relaxed: StructureData | None = self.ctx.relaxed.get(label)
        return self.inputs.structures[label] if relaxed is None else relaxed

    def has_tasks(self) -> bool:
        """Return whether calculations are left."""
        return bool(self.ctx.position < len(self.ctx.tasks))

    def batch(self) -> list[tuple[Fidelity, str]]:
        """Return the next tasks; those above PBE wait until every gap at PBE is known."""
        tasks = self.ctx.tasks[self.ctx.position : self.ctx.position + self.inputs.max_concurrent.value]
        lowest = [task for task in tasks if task[0] == Fidelity.PBE.value]
        return [(Fidelity.parse(name), label) for name, label in lowest or tasks]

    def submit_batch(self) -> None:
        """Submit the next calculations."""
        self.ctx.submitted = []
        for fidelity, label in self.batch():
            name = energy_label(label, fidelity)
            try:
                builder = self.builder(fidelity, label)
            except InvalidInputError as exception:
                if name not in self.ctx.refused:
                    self.report(f'{name} was refused: {exception}')
                    self.ctx.refused.append(name)
                continue
            self.to_context(**{name: self.submit_once(name, builder)})
            self.ctx.submitted.append(name)

    def builder(self, fidelity: Fidelity, label: str) -> t.Any:
        """Return the builder of one calculation."""
        structure = self.structure(label)
        references = self.inputs.get('references', {}).get(fidelity.label, None)
        elements = self.inputs.get('elements', {}).get(fidelity.label, {})
        # CCSD(T) of metals does not exist: a compound of one is anchored only.
        has_elements = elements and set(structure.get_symbols_set()) <= set(elements)
        return builder_of_level(
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

    def inspect_batch(self) -> None:
        """Note gaps and failures, and move on, unless the machine lost a calculation: then the batch goes in again."""
        if self.should_submit(*self.ctx.submitted):
            return
        for name in self.ctx.submitted:
            child = self.ctx.pop(name)
            if not child.is_finished_ok:
                self.ctx.failed.append(name)
                self.report(f'{name} failed: {ending(child)}')
                continue
            self.ctx.succeeded.append(name)
            label, fidelity = split_energy_label(name)
            gap = child.outputs.energy.content.band_gap
            if fidelity is Fidelity.PBE and gap is not None:
                self.ctx.gaps[label] = gap
        self.ctx.position += len(self.batch())
        counts = f'{len(self.ctx.succeeded)} succeeded, {len(self.ctx.failed)} failed, {len(self.ctx.refused)} refused'
        self.report(f'{self.ctx.position} of {len(self.ctx.tasks)} calculations: {counts}')

    def finalize(self) -> ExitCode | None:
        """Return the energies and descriptors of what succeeded."""
        for name in self.ctx.succeeded:
            child, _ = self.attempts(name)
            assert child is not None
            outputs = child.outputs
            self.out(f'energies.{name}', outputs.energy)
            if 'descriptors' in outputs:
                self.out(f'descriptors.{split_energy_label(name)[0]}', outputs.descriptors)
        count = sum(len(names) for names in self.inputs.plan.get_dict().values())
        if count and not self.ctx.succeeded:
            exit_code: ExitCode = self.exit_codes.ERROR_ALL_FAILED.format(count=count)
            return exit_code
        return None


def relax_label(label: str) -> str:
    """Return the label of the call that relaxes a structure."""
    return f'relax{label}'


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


def validate_labels(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse a plan for structures that are not given."""
    if 'plan' not in value or 'structures' not in value:
        return None
    missing = sorted(set(value['plan'].get_dict()) - set(value['structures']))
    return f'`plan` names structures that are not given: {", ".join(missing[:5])}' if missing else None
