"""What the work chains on a potential share: inputs, checks, and a bounded number of jobs at a time."""

from __future__ import annotations

import abc
import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict, ProcessNode

from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.atomistic import AtomisticSettings

__all__ = ('AtomisticWorkChain',)


class AtomisticWorkChain(WindowWorkChain):
    """Runs one job per task, a bounded number at a time; a job that fails is counted and the others go on."""

    SETTINGS: t.ClassVar[type[AtomisticSettings]]

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define the ports that both work chains share."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Python with torch, ase and phonopy, and this package.')
        spec.input(
            'parameters', valid_type=Dict, validator=validator(cls.SETTINGS.parse), help='Settings of a protocol.'
        )
        spec.input(
            'checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('validator'),
            help='The validator, if that is the potential.',
        )
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the jobs.')

    @property
    def settings(self) -> t.Any:
        """Return the typed settings."""
        return self.SETTINGS.parse(self.inputs.parameters.get_dict())

    def job(self, process: t.Any, parts: t.Sequence[str], **structures: t.Any) -> t.Any:
        """Return the builder of one job.

        :param parts: names of the settings that the job takes.
        """
        builder = process.get_builder()
        builder.code = self.inputs.code
        builder.parameters = Dict(self.settings.parameters(*parts))
        if 'checkpoint' in self.inputs:
            builder.checkpoint = self.inputs.checkpoint
        for name, structure in structures.items():
            setattr(builder, name, structure)
        set_options(builder, self.inputs.options.get_dict() if 'options' in self.inputs else None)
        return builder

    def start(self, tasks: t.Iterable[str]) -> None:
        """Begin with the jobs labelled ``tasks``."""
        super().start(tasks)
        self.ctx.tasks = list(self.ctx.waiting)
        self.ctx.succeeded = []
        self.ctx.failed = {}

    def ready(self) -> list[str]:
        """Return the jobs that may start now."""
        return list(self.ctx.waiting[: self.settings.run.max_concurrent - len(self.ctx.running)])

    @abc.abstractmethod
    def builder(self, label: str) -> t.Any:
        """Return the builder of the job of one task."""

    def submit_task(self, task: str) -> None:
        """Submit one job."""
        self.submit_child(task, task, self.builder(task))

    def note_ended(self, name: str, task: str, child: ProcessNode) -> None:
        """Note whether a job succeeded."""
        if child.is_finished_ok:
            self.ctx.succeeded.append(task)
        else:
            self.ctx.failed[task] = ending(child)
            self.report(f'{task} failed: {ending(child)}')

    def note_collected(self) -> None:
        """Report how far the jobs are."""
        counts = f'{len(self.ctx.succeeded)} succeeded, {len(self.ctx.failed)} failed'
        self.report(f'{counts}, {len(self.ctx.running)} running, {len(self.ctx.waiting)} to come')

    def succeeded(self) -> dict[str, t.Any]:
        """Return the jobs that succeeded by the label of their task, in the order of the tasks."""
        return {label: self.latest_attempt(label)[0] for label in self.ctx.tasks if label in self.ctx.succeeded}
