"""Jobs whose scheduler is asked often, and whose record is written only when something has changed.

Upstream: `task_update_job` commits four times for each answer of the scheduler, also where nothing has changed.
"""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessState
from aiida.engine.processes.calcjobs.tasks import Waiting, task_update_job
from aiida.orm import CalcJobNode
from aiida.schedulers import JobInfo, JobState

__all__ = ('PollingMixin',)


class ChangeOnlyRecord:
    """The record of a job as the task sees it that asks the scheduler: what it knows already is not written again."""

    def __init__(self, node: CalcJobNode) -> None:
        self.node = node
        self.known = node.get_scheduler_state()
        self.info: JobInfo | None = None

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self.node, name)

    @property
    def has_changed(self) -> bool:
        """Whether the job has another state than at first."""
        return self.node.get_scheduler_state() is not self.known

    def set_last_job_info(self, info: JobInfo) -> None:
        """Keep it until the state changes."""
        self.info = info

    def set_scheduler_state(self, state: JobState) -> None:
        """Write the state and what the scheduler said last, if the state is another one."""
        if state is self.known:
            return
        if self.info is not None:
            self.node.set_last_job_info(self.info)
        self.node.set_scheduler_state(state)


async def wait_for_change(node: CalcJobNode, job_manager: t.Any, cancellable: t.Any) -> bool:
    """Ask the scheduler until a job has another state, and return whether it is done."""
    record = ChangeOnlyRecord(node)
    while not await task_update_job(record, job_manager, cancellable):
        if record.has_changed:
            return False
    return True


class WaitingForChange(Waiting):
    """A job that waits. AiiDA's writes its status, its state and the time whenever it has asked the scheduler."""

    async def _launch_task(self, coro: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Start a task; where monitors look at the job after each answer of the scheduler, they still do."""
        if coro is task_update_job and self.monitors is None:
            coro = wait_for_change
        return await super()._launch_task(coro, *args, **kwargs)


class PollingMixin:
    """Mixin, before ``CalcJob``: a job costs the database nothing while it runs.

    AiiDA commits four times for each answer of the scheduler, and a worker waits until the disk has confirmed each.
    """

    @classmethod
    def get_state_classes(cls) -> dict[t.Hashable, t.Any]:
        """Return the states of the process."""
        return {**super().get_state_classes(), ProcessState.WAITING: WaitingForChange}  # type: ignore[misc]
