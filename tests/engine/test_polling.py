"""What is written while a job runs."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiida import orm
from aiida.common.datastructures import CalcJobState
from aiida.engine.utils import InterruptableFuture
from aiida.manage import get_manager
from aiida.schedulers import JobInfo, JobState
from sqlalchemy import event

from aiida_qagenai.engine.polling import wait_for_change


class Scheduler:
    """Answers in turn; None for a job that it no longer lists."""

    def __init__(self, *answers):
        self.answers = list(answers)

    @contextlib.contextmanager
    def request_job_info_update(self, _authinfo, job_id):
        future = asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0)
        future.set_result(None if answer is None else JobInfo({'job_id': job_id, 'job_state': answer}))
        yield future


@pytest.fixture
def job(aiida_profile_clean, aiida_localhost):
    """Return a running job."""
    node = orm.CalcJobNode(computer=aiida_localhost, process_type='aiida.calculations:core.arithmetic.add')
    node.set_option('resources', {'num_machines': 1, 'num_mpiprocs_per_machine': 1})
    node.store()
    node.set_job_id('7')
    node.set_scheduler_state(JobState.RUNNING)
    return node


def ask(job, *answers):
    """Return whether the job is done, the answers that were not asked for, and the number of rows written."""
    scheduler, written = Scheduler(*answers), []

    def note(_connection, _cursor, statement, *_):
        if statement.startswith(('INSERT', 'UPDATE', 'DELETE')):
            written.append(statement)

    async def asked():
        return await wait_for_change(job, scheduler, InterruptableFuture())

    engine = get_manager().get_profile_storage().get_session().get_bind()
    event.listen(engine, 'before_cursor_execute', note)
    try:
        done = asyncio.run(asked())
    finally:
        event.remove(engine, 'before_cursor_execute', note)
    return done, scheduler.answers, len(written)


def test_nothing_is_written_while_nothing_changes(job):
    """However often the scheduler is asked, what is written is what the end takes."""
    done, left, many = ask(job, *[JobState.RUNNING] * 20, None)
    assert done and left == []
    assert job.get_scheduler_state() is JobState.DONE
    assert job.get_last_job_info().job_state is JobState.RUNNING
    job.set_state(CalcJobState.WITHSCHEDULER)
    job.set_scheduler_state(JobState.RUNNING)
    _, _, once = ask(job, JobState.RUNNING, None)
    assert 0 < many == once


def test_a_new_state_is_written_and_said(job):
    """The status of the process, which people look at, follows the state of the job."""
    done, left, _ = ask(job, JobState.RUNNING, JobState.SUSPENDED, JobState.RUNNING, None)
    assert not done and left == [JobState.RUNNING, None]
    assert job.get_scheduler_state() is JobState.SUSPENDED
