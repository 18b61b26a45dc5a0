"""Start the daemon, and restart the processes that a killed one has left behind.

Upstream: `verdi daemon start` should clear the files of a killed daemon and broker, wait until the broker listens, and
send again what has no task; `verdi process repair` does only the last.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shutil
import sys
import time
import typing as t
from pathlib import Path

import kiwipy
import psutil
from aiida import orm
from aiida.brokers.zeromq import ZeromqBroker
from aiida.brokers.zeromq.service import ZeromqBrokerService
from aiida.engine.daemon import client
from aiida.engine.daemon.client import DaemonException, DaemonTimeoutException, get_daemon_client
from aiida.engine.processes.control import get_active_processes, get_process_tasks
from aiida.manage import get_manager
from aiida.manage.configuration import get_config, get_config_option

from aiida_qagenai.common.errors import DaemonError, reported_as

__all__ = (
    'broker_files',
    'clear_remains',
    'daemon_runs',
    'ensure_daemon',
    'restart_daemon',
    'restart_processes',
    'runs',
    'stop_daemon',
)

ANSWER_TIMEOUT = 20
"""Seconds that a worker has to answer for a process; one that runs a function answers only after it."""

TIMEOUT = 180
"""Seconds for the daemon to start or to stop: AiiDA's few are not enough on a busy machine."""


def ensure_daemon(workers: int | None = None) -> bool:
    """Start the daemon and its broker unless they run; return whether they were started.

    :param workers: number of workers; by default what the profile says (`daemon.default_workers`).
    :raises DaemonError: if the daemon or its broker does not start.
    """
    find_verdi()
    if daemon_runs():
        return False
    clear_remains()
    workers = workers or get_config_option('daemon.default_workers')
    with reported_as('the daemon did not start:', DaemonException, error=DaemonError):
        get_daemon_client().start_daemon(number_workers=workers, timeout=TIMEOUT)
    wait_for_broker()
    return True


def wait_for_broker() -> None:
    """Wait until the ZeroMQ broker listens.

    It says where before it does, and what is sent in between is lost if the sender ends first.

    :raises DaemonError: if it does not listen in time.
    """
    if not isinstance(get_manager().get_broker(), ZeromqBroker):
        return
    files, deadline = broker_files(), time.monotonic() + TIMEOUT
    while not files.status_file.exists():
        if time.monotonic() > deadline:
            text = f'the broker did not start within {TIMEOUT} s: give the command again when this machine is less busy'
            raise DaemonError(f'{text}, or see {files.log_file}')
        time.sleep(0.1)


def restart_processes(node: orm.ProcessNode) -> bool:
    """Bring ``node`` and everything it called back to a daemon that works on it; return whether one was started.

    The broker keeps the tasks of the processes and hands them out again. Only a process whose caller was killed between
    storing and sending it has none, and would wait for ever: it is sent again. So is one whose worker lost its
    connection to the database or the broker: AiiDA's workers stay alive then, but no longer answer for their processes,
    and are replaced. What AiiDA paused after too many failures of a connection is played. Processes of others are left
    alone, since one that runs in somebody's interpreter has no task either.
    """
    started = False
    processes = [process for process in running_processes() if root(process).pk == node.pk]
    if not daemon_runs() or unattended(processes):
        if daemon_runs():
            get_daemon_client().stop_daemon(wait=True, timeout=TIMEOUT)
        tasks = broker_tasks()
        started = ensure_daemon()
        send([process for process in processes if process.pk not in tasks])
    play([process for process in processes if process.paused])
    return started


def running_processes() -> list[orm.ProcessNode]:
    """Return the work chains and jobs that have not ended.

    A function that was cut off has no state to continue from; the work chain that called it calls it again.
    """
    active = (*get_active_processes(), *get_active_processes(paused=True))
    return [process for process in active if isinstance(process, orm.WorkChainNode | orm.CalcJobNode)]


def broker_tasks() -> set[int]:
    """Return the processes that the broker has a task for; RabbitMQ tells only of those that wait for a worker.

    AiiDA reads the files of the ZeroMQ broker as that broker does after a crash, and takes back the tasks of workers
    under a broker that may be running. Here they are only read.
    """
    broker = get_manager().get_broker()
    if not isinstance(broker, ZeromqBroker):
        return set(get_process_tasks(broker))
    tasks = set()
    for path in broker_files().storage_path.glob('tasks/*/*.json'):
        with contextlib.suppress(FileNotFoundError):  # it has just been taken or done
            tasks.add(json.loads(path.read_text())['body']['args']['pid'])
    return tasks


def send(processes: list[orm.ProcessNode]) -> None:
    """Hand processes to the broker and wait until it says that it has them; RabbitMQ does so within the call."""
    controller = get_manager().get_process_controller()
    confirms = isinstance(get_manager().get_broker(), ZeromqBroker)
    for process in processes:
        confirmation = controller.continue_process(process.pk, nowait=True, no_reply=not confirms)
        if confirms and not answers(confirmation, time.monotonic() + TIMEOUT):
            raise DaemonError(f'the broker did not say that it took process<{process.pk}>: continue once more')


def unattended(processes: list[orm.ProcessNode]) -> list[orm.ProcessNode]:
    """Return the processes that wait for no worker and for which no worker answers.

    A worker that is busy with a function for longer than ``ANSWER_TIMEOUT`` cannot be told from a dead one.
    """
    tasks = broker_tasks()
    controller = get_manager().get_process_controller()
    waiting = [(process, ask(controller.get_status, process)) for process in processes if process.pk not in tasks]
    deadline = time.monotonic() + ANSWER_TIMEOUT
    return [process for process, future in waiting if not answers(future, deadline)]


def ask(message: t.Callable[[int], t.Any], process: orm.ProcessNode) -> t.Any:
    """Send a message to the worker that runs ``process`` and return the future answer; None if no worker does."""
    try:
        return message(process.pk)
    except (TimeoutError, kiwipy.DeliveryFailed):
        return None


def answers(future: t.Any, deadline: float) -> bool:
    """Return whether the answer to a message comes in time; one is wrapped in another, since it crosses threads."""
    if future is None:
        return False
    try:
        while hasattr(future, 'result'):
            future = future.result(timeout=max(0.0, deadline - time.monotonic()))
    except (TimeoutError, concurrent.futures.CancelledError, kiwipy.DeliveryFailed, kiwipy.RemoteException):
        return False
    return True


def play(processes: list[orm.ProcessNode]) -> None:
    """Let paused processes go on, as soon as a worker has them."""
    deadline = time.monotonic() + TIMEOUT
    controller = get_manager().get_process_controller()
    while processes and time.monotonic() < deadline:
        attempts = [(process, ask(controller.play_process, process)) for process in processes]
        wait = time.monotonic() + 5
        processes = [process for process, future in attempts if not answers(future, wait)]
        time.sleep(0.5 if processes else 0.0)


def root(process: orm.ProcessNode) -> orm.ProcessNode:
    """Return the process that was launched by a person and, through others, called ``process``."""
    while process.caller is not None:
        process = process.caller
    return process


def daemon_runs() -> bool:
    """Return whether the daemon is alive; a pid file alone does not prove it, a killed daemon leaves one."""
    return runs(get_daemon_client().get_daemon_pid(), 'daemon')


def stop_daemon() -> bool:
    """Stop the daemon if no process is left for it to run; return whether none runs any more."""
    pid = get_daemon_client().get_daemon_pid()
    if runs(pid, 'daemon') and not (get_active_processes() or get_active_processes(paused=True)):
        with contextlib.suppress(DaemonTimeoutException):
            get_daemon_client().stop_daemon(wait=True, timeout=TIMEOUT)
        # It answers that it stops before it has.
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).wait(timeout=TIMEOUT)
    return not daemon_runs()


def restart_daemon() -> None:
    """Stop the daemon, whatever its workers do, and start one of the versions that are installed now.

    Its processes go on from their last saved step.

    :raises DaemonError: if it does not stop, or the new one does not start.
    """
    client_ = get_daemon_client()
    pid, workers = client_.get_daemon_pid(), 0
    with contextlib.suppress(DaemonException, KeyError):
        workers = client_.get_numprocesses()['numprocesses']
    with reported_as('the daemon did not stop:', DaemonException, error=DaemonError):
        client_.stop_daemon(wait=True, timeout=TIMEOUT)
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).wait(timeout=TIMEOUT)
    ensure_daemon(workers or None)


def find_verdi() -> None:
    """Let AiiDA find the `verdi` of this environment, by which it starts its daemon, where none is on the path.

    AiiDA looks for it once, when it is imported.
    """
    if client.VERDI_BIN is None:
        folder = str(Path(sys.executable).parent)
        os.environ['PATH'] = os.pathsep.join((folder, os.environ.get('PATH', '')))
        client.VERDI_BIN = shutil.which('verdi')


def clear_remains() -> None:
    """Remove the files by which a killed daemon and its ZeroMQ broker pass for running ones.

    New workers would connect to the dead broker's socket and wait there for ever, without an error.
    """
    Path(get_daemon_client().circus_pid_file).unlink(missing_ok=True)
    files = broker_files()
    if files.pid_file.exists() and not runs(int(files.pid_file.read_text().split()[-1]), 'broker'):
        if files.sockets_file.exists():  # it names the temporary folder with the socket of the broker
            shutil.rmtree(files.sockets_file.read_text().strip(), ignore_errors=True)
        for path in (files.sockets_file, files.pid_file, files.status_file):
            path.unlink(missing_ok=True)


def broker_files() -> ZeromqBrokerService.FilepathLayout:
    """Return where the ZeroMQ broker of the profile keeps its files."""
    files = get_config().filepaths(get_daemon_client().profile)['broker_service']
    return ZeromqBrokerService.FilepathLayout(files['dir'], files['log'])


def runs(pid: int | None, word: str) -> bool:
    """Return whether the process ``pid`` is alive and has ``word`` on its command line, so that it is not another."""
    if pid is None:
        return False
    try:
        return any(word in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
