"""Fixtures: the services, and a profile on PostgreSQL and RabbitMQ whose jobs run on SLURM over SSH."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parent))

TEMPLATES = Path(__file__).parents[2] / 'examples' / 'cluster'


@pytest.fixture(scope='session')
def services():
    """Start the services once and stop them whatever happens; a SIGTERM is taken for an interruption."""
    from stack import Postgresql, Rabbitmq, Slurm, Sshd, missing_programs

    missing = missing_programs()
    if missing or os.geteuid() != 0:
        pytest.fail(f'needs root and the packages {", ".join(missing) or "that are installed"}: `make test-services`')
    # Not in the folder of pytest, which other users cannot enter.
    folder = Path(tempfile.mkdtemp(prefix='qagenai-services-'))
    folder.chmod(0o755)
    started: dict[str, object] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name, create in (
            ('postgresql', Postgresql),
            ('rabbitmq', Rabbitmq),
            ('slurm', Slurm),
            ('sshd', lambda path: Sshd(path, {'SLURM_CONF': str(started['slurm'].configuration)})),
        ):
            started[name] = create(folder / name)
            started[name].start()
        yield started
    finally:
        for service in reversed(started.values()):
            service.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope='session')
def new_site(new_machine, services, tmp_path_factory):
    """Return a factory of profiles on the services: database, two workers, the computer `cluster` and its codes."""

    def create(name: str) -> Site:
        machine = new_machine(
            name,
            '--workers=2',
            QAGENAI_POSTGRESQL=services['postgresql'].create_database(name),
            QAGENAI_RABBITMQ=services['rabbitmq'].url,
            HOME=str(services['sshd'].home),
        )
        folder = tmp_path_factory.mktemp('cluster')
        set_up_cluster(machine, folder)
        return Site(machine, name, services['postgresql'], fill_template('options', folder, OPTIONS))

    return create


class Site:
    """A profile on the services, watched through its database: a question through AiiDA takes seconds."""

    def __init__(self, machine, database: str, postgresql, options: Path) -> None:
        self.machine = machine
        self.run, self.query, self.crash, self.processes = (
            getattr(machine, name) for name in ('run', 'query', 'crash', 'processes')
        )
        self.database = database
        self.postgresql = postgresql
        self.options = options

    def ask(self, condition: str, column: str = 'id') -> list[str]:
        """Return a column of the nodes that fulfil an SQL condition; `a` stands for their attributes."""
        expression = f'SELECT {column} FROM (SELECT *, attributes AS a FROM db_dbnode) AS nodes WHERE {condition}'
        return self.postgresql.query(self.database, f'{expression} ORDER BY id').split()

    def wait_until(self, condition: str, column: str = 'id', count: int = 1, timeout: float = 600) -> list[str]:
        """Wait until ``count`` nodes fulfil the condition and return the column."""
        found: list[str] = []

        def enough() -> bool:
            found[:] = self.ask(condition, column)
            return len(found) >= count

        self.wait_for_truth(enough, timeout)
        return found

    def wait_for_truth(self, condition: t.Callable[[], t.Any], timeout: float = 300) -> t.Any:
        """Wait until a function returns something true, and return it."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, self.run('verdi', 'process', 'list', '-a')
            time.sleep(0.3)
        return found

    def wait_for_end(self, pk: int | str, timeout: float = 900) -> None:
        """Wait until a process and everything it called has ended."""
        self.wait_until(f"id = {pk} AND a->>'process_state' IN ('finished', 'excepted', 'killed')", timeout=timeout)

    def log(self) -> str:
        """Return what the daemon and its workers have logged."""
        return '\n'.join(path.read_text() for path in self.machine.folder.glob('.aiida/daemon/log/aiida-*.log'))

    @contextlib.contextmanager
    def hold(self, moment: str) -> Iterator[t.Callable[[], bool]]:
        """Make whoever does something to a table of the database wait until the end of the context.

        :param moment: event, table and condition of the trigger.
        :returns: a function that says whether somebody waits.
        """
        lock, query = 1, functools.partial(self.postgresql.query, self.database)
        query(f"""
            CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_advisory_xact_lock({lock}); RETURN NEW; END';
            CREATE OR REPLACE TRIGGER hold BEFORE {moment} EXECUTE FUNCTION hold();
        """)
        with self.postgresql.session(self.database, f'SELECT pg_advisory_lock({lock})'):
            yield lambda: query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != '0'
        query(f'DROP TRIGGER hold ON {moment.split()[2]}')

    def kill_workers(self) -> None:
        """Kill the workers; the daemon starts others in their place."""
        workers = [process for process in self.processes() if process.cmdline()[-2:] == ['daemon', 'worker']]
        assert workers
        for worker in workers:
            worker.send_signal(signal.SIGKILL)


ONE_CORE = {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
OPTIONS = {
    # The jobs last long enough for something to happen to them.
    'pyscf': {
        'resources': ONE_CORE,
        'max_wallclock_seconds': 1200,
        'max_memory_kb': 1_500_000,
        'prepend_text': 'sleep 2',
    },
    'models': {'resources': ONE_CORE, 'prepend_text': 'sleep 2'},
}


def fill_template(name: str, folder: Path, changes: dict[str, t.Any]) -> Path:
    """Write a template of the how-to with what has to be changed in it, and return its path."""
    content = yaml.safe_load((TEMPLATES / f'{name}.yaml').read_text())
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    path = folder / f'{name}.yaml'
    path.write_text(yaml.safe_dump(content))
    return path


def set_up_cluster(machine, folder: Path) -> None:
    """Type what the how-to says, with its own templates, the paths of this machine, and no pauses."""
    changes = {
        'computer': {'work_dir': str(folder / 'scratch')},
        # The start-up files of a login shell are this machine's own business, and may be slow.
        'connection': {'safe_interval': 0.2, 'use_login_shell': False},
        'pyscf': {'filepath_executable': sys.executable},
        'models': {'filepath_executable': sys.executable},
    }
    files = {name: fill_template(name, folder, change) for name, change in changes.items()}
    machine.run('verdi', 'computer', 'setup', '--config', str(files['computer']), '-n')
    machine.run(
        'verdi', 'computer', 'configure', 'core.ssh_async', 'cluster', '--config', str(files['connection']), '-n'
    )
    for name in ('pyscf', 'models'):
        machine.run('verdi', 'code', 'create', 'core.code.installed', '--config', str(files[name]), '-n')
    machine.query('orm.load_computer("cluster").set_minimum_job_poll_interval(1.0)\nprint("null")')
    machine.run('verdi', 'config', 'set', 'transport.task_retry_initial_interval', '2')
    # AiiDA warns of any RabbitMQ after 3.8.15, where a task times out: it does not here, see `consumer_timeout`.
    machine.run('verdi', 'config', 'set', 'warnings.rabbitmq_version', 'False')
