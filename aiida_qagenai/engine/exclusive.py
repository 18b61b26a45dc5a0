"""One worker at a time for each process, by a lock of the operating system that dies with the worker.

RabbitMQ hands a task out again when it has lost the connection of the worker that had it, although that worker still
runs the process. AiiDA would then run it twice, side by side. Here the second worker waits, with the task in its hands:
it takes the process over from its last checkpoint should the first one die, and is done when the process is.

A worker that has lost its database ends, so that the daemon starts another one. AiiDA's workers survive a restart of
PostgreSQL, but what they hold does not: their nodes belong to a session that is gone, a process fails to save its
state, and a callback that failed is never called again, so that a parent waits for ever. A worker that ends before it
acknowledges a task or marks a process as failed leaves both to its successor, which continues from the last saved
states.

Upstream: AiiDA 2.9 trusts the broker to hand out each task once. The lock belongs into ``ProcessLauncher._continue``.
The daemon worker should end when its storage is disconnected.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import signal
import struct
import sys
import typing as t
from pathlib import Path

import kiwipy
from aiida.engine import Process, ProcessState
from aiida.engine.persistence import AiiDAPersister
from aiida.manage import get_manager
from aiida.manage.configuration import get_config, get_profile
from aiida.orm import load_node
from sqlalchemy import event
from sqlalchemy.engine import Engine

__all__ = ('DeferredProcess', 'ExclusiveMixin', 'ProcessLocks', 'exit_on_disconnect', 'process_locks')

LOGGER = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks of a waiting worker."""

FLOCK = '@hhqqi4x'
"""Layout of Linux's ``struct flock`` on 64 bits: type, whence, start, length and the process that holds the lock."""


class ProcessLocks:
    """Locks on single bytes of one file: byte ``pk`` stands for the process ``pk``.

    These are POSIX record locks: the system frees them when the interpreter ends, however it ends. They are no obstacle
    within one interpreter, which therefore keeps a list as well. A file system that has no locks (some network homes)
    is warned of, and left to work as AiiDA does.

    :param path: the file; it stays empty.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open('ab')
        self.held: set[int] = set()

    def acquire(self, pk: int) -> bool:
        """Lock a process and return True, unless it is locked already, here or elsewhere."""
        if pk in self.held:
            return False
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, pk)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as exception:
            LOGGER.warning('no locks on %s: two workers may run process<%d> (%s)', self.file.name, pk, exception)
        self.held.add(pk)
        return True

    def is_held(self, pk: int) -> bool | None:
        """Return whether a process is locked, here or elsewhere on this machine; None where the system does not tell.

        Only Linux is asked, whose record of a lock is known here. Nothing is locked by the question.
        """
        if pk in self.held:
            return True
        if not sys.platform.startswith('linux'):
            return None
        question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, pk, 1, 0)
        try:
            answer = fcntl.fcntl(self.file, fcntl.F_GETLK, question)
        except OSError:
            return None
        return bool(struct.unpack(FLOCK, answer)[0] != fcntl.F_UNLCK)

    def release(self, pk: int) -> None:
        """Release a lock, if it is held here."""
        if pk in self.held:
            self.held.remove(pk)
            with contextlib.suppress(OSError):
                fcntl.lockf(self.file, fcntl.LOCK_UN, 1, pk)


def process_locks() -> ProcessLocks:
    """Return the locks of this interpreter on the processes of the current profile."""
    profile = get_profile()
    assert profile is not None
    return _locks_on(Path(get_config().dirpath) / 'qagenai' / f'{profile.uuid}.locks', os.getpid())


@functools.cache
def _locks_on(path: Path, _pid: int) -> ProcessLocks:
    """Return the locks on the file ``path``; a fork inherits none, hence one object per process id."""
    return ProcessLocks(path)


class ExclusiveMixin:
    """Mixin, before a process class: it is run by one worker at a time, and other workers wait."""

    pid: t.Any
    runner: t.Any

    @classmethod
    def recreate_from(cls, saved_state: t.Any, load_context: t.Any = None) -> t.Any:
        """Load the process, or return a stand-in for it if it runs already or has ended."""
        pk = saved_state[Process.SaveKeys.CALC_ID.value]
        recreate = functools.partial(cls.recreate_locked, pk, saved_state, load_context)
        process = recreate() if process_locks().acquire(pk) else None
        if process is None:
            LOGGER.warning('process<%d> runs already or has ended: this worker waits', pk)
            return DeferredProcess(pk, recreate)
        return process

    @classmethod
    def recreate_locked(cls, pk: int, saved_state: t.Any, load_context: t.Any) -> t.Any | None:
        """Load the process that was locked, or release the lock and return None if it has ended."""
        try:
            node = load_node(pk)
            if node.is_terminated:
                process_locks().release(pk)
                return None
            if node.process_state is not ProcessState.CREATED:
                # Whoever had it before may have come further than the state that was read before the lock was taken.
                saved_state = AiiDAPersister().load_checkpoint(pk)
            try:
                return super().recreate_from(saved_state, load_context)  # type: ignore[misc]
            except kiwipy.DuplicateSubscriberIdentifier:
                unsubscribe(pk)
                return super().recreate_from(saved_state, load_context)  # type: ignore[misc]
        except BaseException:
            process_locks().release(pk)
            raise

    async def step_until_terminated(self) -> None:
        """Run the process and release its lock; one that was not loaded but just created is locked here."""
        if isinstance(self.pid, int):  # a process without provenance has none
            process_locks().acquire(self.pid)
        if self.runner.is_daemon_runner:
            exit_on_disconnect()
        try:
            await super().step_until_terminated()  # type: ignore[misc]
        finally:
            process_locks().release(self.pid)


def unsubscribe(pk: int) -> None:
    """Undo that messages to a process go to an object in this worker that nobody runs.

    That is left when the broker was away while the process was created here: AiiDA gave up to subscribe, but what it
    had asked for was done when the broker was back. The lock says that the process runs nowhere.
    """
    communicator = get_manager().get_communicator()
    for remove in (communicator.remove_rpc_subscriber, communicator.remove_broadcast_subscriber):
        with contextlib.suppress(ValueError):  # it has no such subscription
            remove(str(pk))


class DeferredProcess:
    """What a worker has in place of a process that runs already.

    :param pid: pk of the process.
    :param recreate: loads the process, once it is locked; returns None if it has ended.
    """

    def __init__(self, pid: int, recreate: t.Callable[[], t.Any | None]) -> None:
        self.pid = pid
        self.recreate = recreate

    async def step_until_terminated(self) -> None:
        """Wait until nobody runs the process any more, and go on with it if it has not ended by then."""
        while not process_locks().acquire(self.pid):
            await asyncio.sleep(INTERVAL)
        process = self.recreate()
        if process is not None:
            await process.step_until_terminated()

    def future(self) -> asyncio.Future[None]:
        """Return a future that is done: nobody waits for the result of a task that was sent twice."""
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


@functools.cache
def exit_on_disconnect() -> None:
    """Let this interpreter end, as by a kill, as soon as a statement finds its connection to PostgreSQL closed.

    It is the engine that is asked, below everything that may catch the exception or be called by nobody.
    """
    event.listen(Engine, 'handle_error', exit_if_disconnected)


def exit_if_disconnected(context: t.Any) -> None:
    """End this interpreter if an error means that the connection is gone; a busy SQLite works again a little later.

    :param context: SQLAlchemy's ``ExceptionContext``.
    """
    if context.is_disconnect and context.dialect.name == 'postgresql':
        LOGGER.critical('worker %d has lost its database and ends: %s', os.getpid(), context.original_exception)
        os.kill(os.getpid(), signal.SIGKILL)
