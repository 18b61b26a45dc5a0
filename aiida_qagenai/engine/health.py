"""State of a profile's storage, broker and daemon, as values; locks of dead processes are removed.

Upstream: `verdi status` prints all this, but offers no function that returns it, and a lock whose process was killed
has to be removed by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import socket
from pathlib import Path

import psutil
from aiida.brokers.zeromq import ZeromqBroker
from aiida.cmdline.utils.daemon import validate_daemon_env
from aiida.common.exceptions import AiidaException, UnreachableStorage
from aiida.engine.daemon.client import get_daemon_client
from aiida.manage import get_manager
from aiida.manage.configuration import get_config
from aiida.manage.configuration.settings import AiiDAConfigPathResolver
from aiida.manage.profile_access import ProfileAccessManager
from sqlalchemy.exc import SQLAlchemyError

from aiida_qagenai.engine.daemon import broker_files, daemon_runs, runs
from aiida_qagenai.engine.machine import broker_address, num_workers

__all__ = (
    'BrokerState',
    'DaemonState',
    'StorageState',
    'broker_state',
    'clear_dead_locks',
    'daemon_state',
    'migrate_storage',
    'storage_state',
)

PATIENCE = 3.0
"""Seconds for a broker to accept a connection."""


class StorageState(enum.StrEnum):
    """What is the matter with the storage of a profile."""

    READY = 'ready'
    LOCKED = 'locked'
    UNMIGRATED = 'unmigrated'
    UNREACHABLE = 'unreachable'
    BROKEN = 'broken'


class DaemonState(enum.StrEnum):
    """What is the matter with the daemon."""

    RUNS = 'runs'
    STOPPED = 'stopped'
    STALE = 'stale'
    """A killed daemon or broker has left files by which it passes for a running one."""
    OUTDATED = 'outdated'
    """It was started by another Python or with other versions than those installed now."""
    WITHOUT_BROKER = 'without broker'


@dataclasses.dataclass(frozen=True)
class BrokerState:
    """Whether a broker accepts connections.

    :param name: what it is and where, without its password.
    :param reachable: None for the broker that comes and goes with the daemon.
    """

    name: str
    reachable: bool | None
    error: str = ''


def storage_state(name: str) -> tuple[StorageState, str]:
    """Return the state of the storage of a profile, and one line about it; the profile need not be loaded."""
    profile = get_config().get_profile(name)
    holders = living_locks(name)
    if holders or dead_locks(name):
        who = ', '.join(map(str, holders)) or 'that no longer runs'
        return StorageState.LOCKED, f'locked by process {who}'
    storage = profile.storage_cls
    try:
        version, newest = storage.version_profile(profile), storage.version_head()
        if version is None:
            return StorageState.UNREACHABLE, 'the database is empty or gone'
        if version != newest:
            return StorageState.UNMIGRATED, f'schema {version}, this AiiDA writes {newest}'
        storage(profile).close()
    except (OSError, SQLAlchemyError) as exception:
        return StorageState.UNREACHABLE, one_line(exception)
    except AiidaException as exception:
        state = StorageState.UNREACHABLE if isinstance(exception, UnreachableStorage) else StorageState.BROKEN
        return state, one_line(exception)
    return StorageState.READY, f'{profile.storage_backend}, schema {newest}'


def migrate_storage(name: str) -> None:
    """Bring the storage of a profile to the schema of this AiiDA.

    :raises aiida.common.exceptions.LockingProfileError: if another process uses the profile.
    :raises aiida.common.exceptions.StorageMigrationError: if there is no way to the schema.
    """
    profile = get_config().get_profile(name)
    with ProfileAccessManager(profile).lock():
        profile.storage_cls.migrate(profile)


def lock_files(name: str) -> list[Path]:
    """Return the files of AiiDA that lock a profile, each named after a process."""
    return sorted((AiiDAConfigPathResolver().access_control_dir / name).glob('*.lock'))


def dead_locks(name: str) -> list[Path]:
    """Return the locks whose process has ended."""
    return [path for path in lock_files(name) if not (path.stem.isdigit() and psutil.pid_exists(int(path.stem)))]


def living_locks(name: str) -> list[int]:
    """Return the processes that lock a profile."""
    return [int(path.stem) for path in lock_files(name) if path.stem.isdigit() and psutil.pid_exists(int(path.stem))]


def clear_dead_locks(name: str) -> int:
    """Remove the locks whose process has ended, and return their number."""
    dead = dead_locks(name)
    for path in dead:
        path.unlink(missing_ok=True)
    return len(dead)


def broker_state() -> BrokerState:
    """Return the state of the broker of the loaded profile."""
    broker = get_manager().get_broker()
    if broker is None:
        return BrokerState('none', False, 'the profile has no broker')
    if isinstance(broker, ZeromqBroker):
        return BrokerState('embedded (ZeroMQ)', None)
    host, port = broker_address()
    name = f'RabbitMQ at {host}:{port}'
    try:
        # AiiDA itself would try again for minutes.
        socket.create_connection((host, port), timeout=PATIENCE).close()
        broker.get_communicator()
        broker.close()
    except Exception as exception:  # kiwipy, aiormq and the system each raise errors of their own
        password = str(get_manager().get_profile().process_control_config.get('broker_password') or '')
        text = one_line(exception)
        return BrokerState(name, False, text.replace(password, '***') if password else text)
    return BrokerState(name, True)


def daemon_state() -> tuple[DaemonState, str]:
    """Return the state of the daemon of the loaded profile, and one line about it."""
    client = get_daemon_client()
    pid = recorded_pid(Path(client.circus_pid_file))
    if not daemon_runs():
        remains = [pid] if pid is not None else []
        files = broker_files()
        if (broker := recorded_pid(files.pid_file)) is not None and not runs(broker, 'broker'):
            remains.append(broker)
        if remains:
            return DaemonState.STALE, f'process {", ".join(map(str, remains))} has ended without stopping the daemon'
        return DaemonState.STOPPED, 'not running; it starts with the first process that is submitted'
    if (difference := validate_daemon_env(client)) is not None:
        return DaemonState.OUTDATED, ' '.join(difference.split())
    broker_object = get_manager().get_broker()
    if isinstance(broker_object, ZeromqBroker) and not broker_object.check_service_reachable():
        return DaemonState.WITHOUT_BROKER, f'process {pid} runs, but its broker does not'
    workers = num_workers()
    about = 'which does not say how many workers it has' if workers is None else f'with {workers} workers'
    return DaemonState.RUNS, f'process {pid} {about}'


def recorded_pid(path: Path) -> int | None:
    """Return the process that a pid file names; None if there is no such file or none in it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[-1])
    return None


def one_line(exception: BaseException) -> str:
    """Return the first line of an error's text, or its kind."""
    return next((line.strip() for line in str(exception).splitlines() if line.strip()), type(exception).__name__)
