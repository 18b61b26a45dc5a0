"""What the work chains of free energies and barriers share: inputs, checks, and a bounded number of jobs at a time."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict

from aiida_qagenai.calculations.generate import checkpoint_validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.atomistic import AtomisticSettings, read_settings
from aiida_qagenai.workchains.resumable import ResumableWorkChain, ending

__all__ = ('AtomisticWorkChain', 'parameters_validator')


class AtomisticWorkChain(ResumableWorkChain):
    """Runs one job per task, a bounded number at a time; a job that fails is counted and the others go on."""

    SETTINGS: t.ClassVar[type[AtomisticSettings]]

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define the ports that both work chains share."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Python with torch, ase and phonopy, and this package.')
        spec.input(
            'parameters', valid_type=Dict, validator=parameters_validator(cls.SETTINGS), help='Settings of a protocol.'
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
        return read_settings(self.SETTINGS, self.inputs.parameters.get_dict())

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

    def start(self, labels: t.Sequence[str]) -> None:
        """Begin with the tasks ``labels``."""
        self.ctx.tasks = list(labels)
        self.ctx.position = 0
        self.ctx.succeeded = []
        self.ctx.failed = {}

    def has_tasks(self) -> bool:
        """Return whether tasks are left."""
        return bool(self.ctx.position < len(self.ctx.tasks))

    def batch(self) -> list[str]:
        """Return the next tasks."""
        stop = self.ctx.position + self.settings.run.max_concurrent
        return list(self.ctx.tasks[self.ctx.position : stop])

    def builder(self, label: str) -> t.Any:
        """Return the builder of the job of one task."""
        raise NotImplementedError

    def must_submit(self) -> bool:
        """Return whether a job of the batch was not yet submitted, or was lost by the machine."""
        return self.should_submit(*self.batch())

    def submit_batch(self) -> None:
        """Submit the next jobs."""
        for label in self.batch():
            self.to_context(**{label: self.submit_once(label, self.builder(label))})

    def inspect_batch(self) -> None:
        """Note failures and move on."""
        labels = self.batch()
        for label in labels:
            child = self.ctx.pop(label)
            if child.is_finished_ok:
                self.ctx.succeeded.append(label)
            else:
                self.ctx.failed[label] = ending(child)
                self.report(f'{label} failed: {ending(child)}')
        self.ctx.position += len(labels)
        self.report(
            f'{self.ctx.position} of {len(self.ctx.tasks)} jobs: {len(self.ctx.succeeded)} succeeded, '
            f'{len(self.ctx.failed)} failed'
        )

    def succeeded(self) -> dict[str, t.Any]:
        """Return the jobs that succeeded by the label of their task."""
        return {label: self.attempts(label)[0] for label in self.ctx.succeeded}


def parameters_validator(model: type[AtomisticSettings]) -> t.Callable[[Dict, t.Any], str | None]:
    """Return a port validator that refuses settings that are unknown, missing or out of range."""

    def validate(value: Dict, _: t.Any) -> str | None:
        try:
            read_settings(model, value.get_dict())
        except InvalidInputError as exception:
            return str(exception)
        return None

    return validate
