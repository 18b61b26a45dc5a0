"""Two workers and one process: another interpreter stands for the other worker; and workers without a database."""

from __future__ import annotations

import contextlib
import errno
import signal
import subprocess
import sys

import kiwipy
import pytest
from aiida.engine import WorkChain
from aiida.engine.runners import Runner
from aiida.manage import get_manager
from aiida.orm import Int
from plumpy.persistence import LoadSaveContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from aiida_qagenai.engine import exclusive
from aiida_qagenai.engine.exclusive import (
    DeferredProcess,
    ExclusiveMixin,
    ProcessLocks,
    exit_on_disconnect,
    process_locks,
)

OTHER = """
import sys
from pathlib import Path
from aiida_qagenai.engine.exclusive import ProcessLocks
locks = ProcessLocks(Path(sys.argv[1]))
print(locks.acquire(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


class Once(ExclusiveMixin, WorkChain):
    """Counts how often it has run, in an extra of its node."""

    @classmethod
    def define(cls, spec):
        """Define one step."""
        super().define(spec)
        spec.output('runs', valid_type=Int)
        spec.outline(cls.count)

    def count(self):
        """Add one."""
        extras = self.node.base.extras
        extras.set('runs', extras.get('runs', 0) + 1)
        self.out('runs', Int(extras.get('runs')).store())


@contextlib.contextmanager
def other_worker(path, pk):
    """Let another interpreter claim a process; yield whether it got it, and a function that kills it."""
    command = [sys.executable, '-c', OTHER, str(path), str(pk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield other.stdout.readline().strip() == 'True', other.kill
        finally:
            other.kill()


@pytest.fixture
def saved(aiida_profile_clean, monkeypatch):
    """Return a stored process that waits for a worker, and a function that loads it as a worker does."""
    monkeypatch.setattr(exclusive, 'INTERVAL', 0.05)
    runner = get_manager().get_runner()
    process = Once(runner=runner)
    persister = get_manager().get_persister()
    persister.save_checkpoint(process)
    process.close()
    return process.node, lambda: persister.load_checkpoint(process.pid).unbundle(LoadSaveContext(runner=runner))


def run(process):
    """Run a process, or its stand-in, as a worker does."""
    get_manager().get_runner().loop.run_until_complete(process.step_until_terminated())


def test_a_claim_holds_against_others_until_its_owner_is_killed(tmp_path):
    """The lock dies with the interpreter; the other bytes of the file stay free."""
    path = tmp_path / 'locks'
    mine = ProcessLocks(path)
    with other_worker(path, 7) as (got_it, kill):
        assert got_it
        assert not mine.acquire(7)
        assert mine.acquire(8)
        kill()
    assert mine.acquire(7)
    with other_worker(path, 7) as (got_it, _):
        assert not got_it
    mine.release(7)
    with other_worker(path, 7) as (got_it, _):
        assert got_it


def test_a_claim_holds_within_one_interpreter(tmp_path):
    """Record locks do not stop their owner, the list does."""
    mine = ProcessLocks(tmp_path / 'locks')
    assert mine.acquire(7)
    assert not mine.acquire(7)
    mine.release(7)
    assert mine.acquire(7)


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    """Processes run all the same, as they do without locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(exclusive.fcntl, 'lockf', refuse)
    mine = ProcessLocks(tmp_path / 'locks')
    assert mine.acquire(7)
    mine.release(7)
    assert 'No locks available' in caplog.text


def test_a_loaded_process_runs_and_gives_its_claim_back(saved):
    """The usual case: nobody else has it."""
    node, load = saved
    process = load()
    assert isinstance(process, Once)
    assert not process_locks().acquire(node.pk)
    run(process)
    assert node.is_finished_ok
    assert process_locks().acquire(node.pk)
    process_locks().release(node.pk)


def test_a_process_goes_on_here_when_its_worker_dies(saved):
    """It waits while the other worker is alive, and runs once."""
    node, load = saved
    with other_worker(process_locks().file.name, node.pk) as (_, kill):
        deferred = load()
        assert isinstance(deferred, DeferredProcess)
        assert not node.is_terminated
        kill()
        run(deferred)
    assert node.is_finished_ok
    assert node.outputs.runs.value == 1


def test_a_task_sent_twice_to_one_worker_runs_once(saved):
    """The second one is done when the first is."""
    node, load = saved
    process, deferred = load(), load()
    assert isinstance(deferred, DeferredProcess)
    run(process)
    run(deferred)
    assert node.base.extras.get('runs') == 1
    assert process_locks().acquire(node.pk)
    process_locks().release(node.pk)


def test_a_process_goes_on_from_where_the_other_worker_left_it(saved):
    """Not from the state that was read while the other worker was at it."""
    node, load = saved
    process, deferred = load(), load()
    loop = get_manager().get_runner().loop
    while not node.base.extras.get('runs', 0):
        loop.run_until_complete(process.step())
    process.close()
    process_locks().release(node.pk)
    run(deferred)
    assert node.is_finished_ok
    assert node.base.extras.get('runs') == 1


def test_a_subscription_that_outlived_its_object_is_no_obstacle(saved, monkeypatch):
    """It was asked for while the broker was away, and made when nobody waited for it any more."""
    node, _ = saved
    communicator = kiwipy.LocalCommunicator()
    for subscribe in (communicator.add_rpc_subscriber, communicator.add_broadcast_subscriber):
        subscribe(lambda *_: None, identifier=str(node.pk))
    monkeypatch.setattr(get_manager(), 'get_communicator', lambda: communicator)
    with Runner(communicator=communicator) as runner:
        process = get_manager().get_persister().load_checkpoint(node.pk).unbundle(LoadSaveContext(runner=runner))
        assert isinstance(process, Once)
        process.close()
    process_locks().release(node.pk)


def test_a_failure_to_load_gives_the_claim_back(saved, monkeypatch):
    """Another worker may have more luck."""
    node, load = saved
    monkeypatch.setattr(Once, 'load_instance_state', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load()
    assert process_locks().acquire(node.pk)
    process_locks().release(node.pk)


ENDING = """
import types
from aiida_qagenai.engine.exclusive import exit_if_disconnected
for dialect, is_disconnect in (('postgresql', False), ('sqlite', True), ('postgresql', True)):
    kind = types.SimpleNamespace(name=dialect)
    exit_if_disconnected(types.SimpleNamespace(dialect=kind, is_disconnect=is_disconnect, original_exception=None))
    print(dialect, is_disconnect, flush=True)
"""


def test_only_a_lost_postgresql_ends_the_interpreter():
    """Nothing after it runs, as after a kill."""
    result = subprocess.run([sys.executable, '-c', ENDING], capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == 'postgresql False\nsqlite True\n'
    assert result.returncode == -signal.SIGKILL


def test_an_error_of_a_statement_is_raised_as_ever():
    """The engines of this interpreter are watched from now on, and work."""
    exit_on_disconnect()
    with create_engine('sqlite://').connect() as connection:
        with pytest.raises(OperationalError, match='no such table: unknown'):
            connection.execute(text('SELECT * FROM unknown'))
        assert connection.execute(text('SELECT 1')).scalar() == 1


def test_a_lock_is_seen_from_elsewhere(tmp_path):
    """Asking takes no lock, and the lock dies with the worker."""
    path = tmp_path / 'locks'
    locks = ProcessLocks(path)
    with other_worker(path, 7) as (acquired, _):
        assert acquired
        assert (locks.is_held(7), locks.is_held(8)) == (True, False)
    assert locks.is_held(7) is False


def test_a_lock_is_seen_here(tmp_path):
    locks = ProcessLocks(tmp_path / 'locks')
    assert locks.is_held(7) is False
    locks.acquire(7)
    assert locks.is_held(7) is True
