"""What is written while a job runs, and jobs whose worker was killed between upload and saving."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiida import orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
from aiida.common.datastructures import CalcJobState
from aiida.engine import run_get_node
from aiida.engine.daemon import execmanager
from aiida.engine.utils import InterruptableFuture
from aiida.manage import get_manager
from aiida.orm import InstalledCode, Int, RemoteData
from aiida.schedulers import JobInfo, JobState
from sqlalchemy import event

from aiida_qagenai.engine.jobs import RecoveryMixin, wait_for_change


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


class Add(RecoveryMixin, ArithmeticAddCalculation):
    """The sum of two numbers by bash."""


@pytest.mark.parametrize('handed_over', ['nothing', 'calc_info'])
def test_folder_of_an_earlier_upload_is_an_output(localhost, monkeypatch, handed_over):
    """The process ends well, with the folder, whatever AiiDA says of an upload that it skips."""
    upload = execmanager.upload_calculation

    async def uploaded_before(node, transport, calc_info, *args, **kwargs):
        await upload(node, transport, calc_info, *args, **kwargs)
        return calc_info if handed_over == 'calc_info' else None

    monkeypatch.setattr(execmanager, 'upload_calculation', uploaded_before)
    code = InstalledCode(label='add', computer=localhost, filepath_executable='/bin/bash').store()
    outputs, node = run_get_node(Add, code=code, x=Int(1), y=Int(2))
    assert node.is_finished_ok, node.exit_message
    assert outputs['sum'].value == 3
    assert isinstance(outputs['remote_folder'], RemoteData)
