"""What keeps the daemon of the profile from working: no daemon, no broker, no free slot, no space on a disk.

Upstream: `verdi status` and `verdi process list` print these, but no function returns them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import typing as t
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aiida import orm
from aiida.brokers.zeromq import ZeromqBroker
from aiida.engine.daemon.client import DaemonException, get_daemon_client
from aiida.manage import get_manager
from aiida.manage.configuration import get_config, get_config_option

from aiida_qagenai.engine.daemon import daemon_runs

__all__ = ('MachineState', 'machine_state')

TIMEOUT = 2
"""Seconds that the daemon has to say how many workers it has, and the broker to accept a connection."""

ACTIVE = ('created', 'running', 'waiting')
"""States of a process that has not ended."""


@dataclasses.dataclass(frozen=True)
class MachineState:
    """The daemon and what it needs, at one moment.

    :param daemon: whether the daemon is alive.
    :param broker: whether the message broker can be reached.
    :param workers: how many workers the daemon has; None if it does not say.
    :param slots: how many processes a worker takes at a time.
    :param processes: how many processes of the profile have not ended, each of which takes a slot.
    :param free_mb: free space by folder, of the profile and of the jobs on this machine, in MB.
    """

    daemon: bool
    broker: bool
    workers: int | None
    slots: int
    processes: int
    free_mb: dict[str, float]


def machine_state() -> MachineState:
    """Return what the daemon and its disks are like now; it takes some milliseconds, and 2 s of a daemon that hangs."""
    daemon = daemon_runs()
    return MachineState(
        daemon=daemon,
        broker=daemon and broker_answers(),
        workers=num_workers() if daemon else 0,
        slots=int(get_config_option('daemon.worker_process_slots')),
        processes=num_active(),
        free_mb={str(folder): free_mb(folder) for folder in folders()},
    )


def broker_answers() -> bool:
    """Return whether the message broker of the profile can be reached; a profile without one has nothing to reach.

    RabbitMQ is asked for a connection only: AiiDA would try for minutes to log in to one that is away.
    """
    broker = get_manager().get_broker()
    if broker is None or isinstance(broker, ZeromqBroker):
        return broker is None or broker.check_service_reachable()
    with contextlib.suppress(OSError):
        socket.create_connection(broker_address(), timeout=TIMEOUT).close()
        return True
    return False


def broker_address() -> tuple[str, int]:
    """Return host and port of the RabbitMQ of the profile."""
    config = get_manager().get_profile().process_control_config
    return str(config.get('broker_host') or '127.0.0.1'), int(config.get('broker_port') or 5672)


def num_workers() -> int | None:
    """Return how many workers the daemon has, None if it does not answer in time."""
    try:
        return int(get_daemon_client().get_numprocesses(timeout=TIMEOUT)['numprocesses'])
    except (DaemonException, KeyError):
        return None


def num_active() -> int:
    """Return how many processes of the profile have not ended, calculation functions included."""
    builder = orm.QueryBuilder()
    builder.append(orm.ProcessNode, filters={'attributes.process_state': {'in': list(ACTIVE)}})
    return builder.count()


def folders() -> list[Path]:
    """Return the folders that are written to: that of the profile, and those of the jobs on this machine."""
    config: dict[str, t.Any] = dict(get_manager().get_profile_storage().profile.storage_config)
    place = config.get('filepath') or unquote(urlsplit(config.get('repository_uri', '')).path)
    builder = orm.QueryBuilder()
    builder.append(orm.Computer, filters={'transport_type': 'core.local'}, project='*')
    places = [Path(place or get_config().dirpath)]
    places += [Path(computer.get_workdir()) for (computer,) in builder.all() if '{' not in computer.get_workdir()]
    return list(dict.fromkeys(places))


def free_mb(folder: Path) -> float:
    """Return the free space of the disk with ``folder``, in MB; of a folder that is not made yet, of its parent."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path('/'))
    return shutil.disk_usage(existing).free / 2**20
