"""States of storage, broker and daemon that a crash, an update or a service at rest leaves behind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida.common.exceptions import LockingProfileError
from aiida.engine.daemon.client import get_daemon_client
from aiida.manage import get_manager
from aiida.manage.configuration import create_profile, get_config

from aiida_qagenai.engine import health
from aiida_qagenai.engine.health import DaemonState, StorageState


@pytest.fixture
def other(aiida_profile, tmp_path):
    """Return an SQLite profile beside the loaded one: its name, database and folder of locks."""
    config, name = get_config(), 'other'
    create_profile(
        config,
        name=name,
        email='a@localhost',
        storage_backend='core.sqlite_dos',
        storage_config={'filepath': str(tmp_path / 'storage')},
        broker_backend=None,
        broker_config=None,
    )
    database = next((tmp_path / 'storage').glob('*.sqlite'))
    locks = Path(config.dirpath) / 'access' / name
    locks.mkdir(parents=True, exist_ok=True)
    yield SimpleNamespace(name=name, database=database, locks=locks)
    for path in locks.glob('*.lock'):
        path.unlink()
    config.remove_profile(name)


@pytest.fixture
def dead():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    return process.pid


def downgrade(database: Path) -> None:
    """Let a storage be of the schema before the present one, which differs from it by hashes only."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = 'main_0001'")
    connection.close()


def test_storage_in_order(other):
    state, text = health.storage_state(other.name)
    assert state is StorageState.READY and 'core.sqlite_dos' in text


def test_lock_of_a_dead_process_is_removed(other, dead):
    (other.locks / f'{dead}.lock').touch()
    assert health.storage_state(other.name)[0] is StorageState.LOCKED
    assert health.clear_dead_locks(other.name) == 1
    assert health.storage_state(other.name)[0] is StorageState.READY


def test_lock_of_a_living_process_stays(other):
    (other.locks / f'{os.getpid()}.lock').touch()
    assert health.clear_dead_locks(other.name) == 0
    assert health.storage_state(other.name) == (StorageState.LOCKED, f'locked by process {os.getpid()}')


def test_storage_of_an_older_aiida_is_migrated(other):
    downgrade(other.database)
    state, text = health.storage_state(other.name)
    assert state is StorageState.UNMIGRATED and 'main_0001' in text
    health.migrate_storage(other.name)
    assert health.storage_state(other.name)[0] is StorageState.READY


def test_storage_in_use_is_not_migrated(other):
    downgrade(other.database)
    user = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    try:
        command = [sys.executable, '-c', 'input()']
        (other.locks / f'{user.pid}.pid').write_text(str(command))
        with pytest.raises(LockingProfileError):
            health.migrate_storage(other.name)
    finally:
        user.communicate(b'\n')
    assert health.storage_state(other.name)[0] is StorageState.UNMIGRATED


def test_storage_that_is_gone_is_unreachable(other):
    other.database.unlink()
    state, text = health.storage_state(other.name)
    assert state is StorageState.UNREACHABLE and '\n' not in text


def test_daemon_that_was_killed_is_stale(aiida_profile, dead):
    """A file with the number of a process that has ended, and of one that is not a daemon."""
    assert health.daemon_state()[0] is DaemonState.STOPPED
    file = Path(get_daemon_client().circus_pid_file)
    try:
        for pid in (dead, os.getpid()):
            file.write_text(str(pid))
            state, text = health.daemon_state()
            assert state is DaemonState.STALE and str(pid) in text
    finally:
        file.unlink()


def test_rabbitmq_that_does_not_answer_is_told_without_its_password(aiida_profile, monkeypatch):
    config = {'broker_host': '127.0.0.1', 'broker_port': 1, 'broker_password': 'secret'}
    profile = SimpleNamespace(process_control_config=config)
    monkeypatch.setattr(get_manager(), 'get_broker', object)
    monkeypatch.setattr(get_manager(), 'get_profile', lambda: profile)
    state = health.broker_state()
    assert (state.name, state.reachable) == ('RabbitMQ at 127.0.0.1:1', False)
    assert state.error and 'secret' not in state.error
