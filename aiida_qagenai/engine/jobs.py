"""Jobs that are asked for often, written only when something has changed, and found again after a kill.

Upstream: `task_update_job` commits four times for each answer of the scheduler, also where nothing has changed, and
`CalcJob` should register the remote folder before it notes that the upload is done.
"""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessState
from aiida.engine.processes.calcjobs.tasks import Waiting, task_update_job
from aiida.orm import CalcJobNode, RemoteData
from aiida.schedulers import JobInfo, JobState

from aiida_qagenai.engine.exclusive import ExclusiveMixin
from aiida_qagenai.engine.links import LinksMixin

__all__ = ('PollingMixin', 'RecoveryMixin')

REMOTE_FOLDER = 'remote_folder'


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


class RecoveryMixin(PollingMixin, LinksMixin, ExclusiveMixin):
    """Mixin, before ``CalcJob``: the folder that a killed worker had uploaded to is an output of the job as well.

    AiiDA notes first that the files were uploaded, and stores the remote folder with the next state of the process. A
    process that was killed between the two does not upload again, but knows of no remote folder either: it would end
    with the exit status 11, a required output missing, although the job has succeeded.
    """

    node: CalcJobNode
    outputs: t.Any

    def out(self, output_port: str, value: t.Any = None) -> None:
        """Register an output; where AiiDA 2.9 hands over something else than the folder, it is one made before."""
        if output_port == REMOTE_FOLDER and not isinstance(value, RemoteData):
            value = self.uploaded_folder()
        super().out(output_port, value)  # type: ignore[misc]

    def parse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Parse the retrieved files, once the remote folder is registered."""
        if REMOTE_FOLDER not in self.outputs:
            self.out(REMOTE_FOLDER, self.uploaded_folder())
        return super().parse(*args, **kwargs)  # type: ignore[misc]

    def uploaded_folder(self) -> RemoteData:
        """Return the remote folder that is linked to the record of the process, or that the record names."""
        link = self.node.base.links.get_outgoing(RemoteData, link_label_filter=REMOTE_FOLDER).first()
        if link is not None:
            return t.cast('RemoteData', link.node)
        return RemoteData(computer=self.node.computer, remote_path=self.node.get_remote_workdir())
