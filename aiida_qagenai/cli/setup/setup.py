"""`aiida-qagenai setup`: a profile, this computer and the codes, ready for a campaign on this machine."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import click

__all__ = ('ML_CODE', 'PYSCF_CODE', 'setup')

PYSCF_CODE = 'pyscf'
ML_CODE = 'qagenai-ml'
CACHED = 'aiida.calculations:qagenai.*'
BEFORE_JOBS = """export OMP_NUM_THREADS=1
# What the daemon does between jobs, and whoever sits at this machine, goes first. Linux weighs sessions before
# processes, and each job is a session of its own: without the second line the first says nothing.
renice -n 10 -p $$ > /dev/null 2>&1 || true
{ echo 10 > /proc/$$/autogroup; } 2> /dev/null || true"""
"""Of the codes on this machine, which has no scheduler."""


@click.command('setup')
@click.option('--profile', 'name', default='qagenai', show_default=True, help='Profile to use, created if missing.')
@click.option(
    '--postgresql',
    metavar='URL',
    envvar='QAGENAI_POSTGRESQL',
    help='Empty database for a new profile, postgresql://USER:PASSWORD@HOST:PORT/NAME; SQLite otherwise.',
)
@click.option(
    '--rabbitmq',
    metavar='URL',
    envvar='QAGENAI_RABBITMQ',
    help='Message broker for a new profile, amqp://USER:PASSWORD@HOST:PORT; that of AiiDA otherwise.',
)
@click.option('--workers', type=click.IntRange(1), help='Workers of the daemon from its next start on.')
def setup(name: str, *, postgresql: str | None, rabbitmq: str | None, workers: int | None) -> None:
    """Prepare this machine: a profile, the computer `localhost`, two codes, caching.

    Without options it uses SQLite and AiiDA's own message broker, and no service is needed. An existing profile is
    completed by what it lacks, so that running it again changes nothing. The URLs may come from the environment
    (QAGENAI_POSTGRESQL, QAGENAI_RABBITMQ), which keeps their passwords out of the list of processes.
    """
    from aiida import load_profile
    from aiida.manage.configuration import get_config

    if name not in get_config(create=True).profile_names:
        create_profile(name, postgresql, rabbitmq)
    elif postgresql or rabbitmq:
        message = f'profile `{name}` exists: its database and its broker stay what they are; choose another name'
        raise click.ClickException(message)
    load_profile(name, allow_switch=True)
    enable_caching(name)
    if workers:
        get_config().set_option('daemon.default_workers', workers, scope=name)
        get_config().store()
    computer = prepare_localhost()
    for label, plugin in ((PYSCF_CODE, 'qagenai.pyscf_cell'), (ML_CODE, 'qagenai.train')):
        ensure_code(label, plugin, computer)
    click.echo(f'profile `{name}` is ready: codes {PYSCF_CODE}@localhost and {ML_CODE}@localhost')


def create_profile(name: str, postgresql: str | None = None, rabbitmq: str | None = None) -> None:
    """Create a profile, by default an embedded one: SQLite and the ZeroMQ broker that comes with the daemon.

    :raises click.ClickException: if a service cannot be reached or the database is in use.
    """
    from aiida.common.exceptions import AiidaException
    from aiida.manage.configuration import create_profile as create
    from aiida.manage.configuration import get_config
    from aiida.plugins import BrokerFactory
    from sqlalchemy.exc import SQLAlchemyError

    config = get_config()
    zeromq = 'core.zeromq'
    try:
        create(
            config,
            name=name,
            email=config.get_option('autofill.user.email') or 'aiida@localhost',
            storage_backend='core.psql_dos' if postgresql else 'core.sqlite_dos',
            storage_config=postgresql_config(postgresql, name) if postgresql else {},
            broker_backend='core.rabbitmq' if rabbitmq else zeromq,
            broker_config=rabbitmq_config(rabbitmq) if rabbitmq else BrokerFactory(zeromq).get_default_config(),
        )
    except (AiidaException, SQLAlchemyError) as exception:
        message = f'the profile could not be created: {exception}'
        raise click.ClickException(message) from exception
    # A work chain asks for the end of its children every second, not every minute, in case it missed the message.
    config.set_option('runner.poll.interval', 1, scope=name)
    config.set_default_profile(name, overwrite=True)
    config.store()


def postgresql_config(url: str, profile: str) -> dict[str, t.Any]:
    """Return the storage of a profile in the database at ``url``, its files beside the configuration of AiiDA."""
    from aiida.manage.configuration import get_config

    parts = parse_url(url, 'postgresql')
    database = parts.path.strip('/')
    if not (database and parts.username):
        message = 'the URL of the database names a user and a database: postgresql://USER:PASSWORD@HOST:PORT/NAME'
        raise click.ClickException(message)
    return {
        'database_hostname': parts.hostname or 'localhost',
        'database_port': parts.port or 5432,
        'database_username': unquote(parts.username),
        'database_password': unquote(parts.password or ''),
        'database_name': unquote(database),
        'repository_uri': (Path(get_config().dirpath) / 'repository' / profile).as_uri(),
    }


def rabbitmq_config(url: str) -> dict[str, t.Any]:
    """Return the broker of a profile at ``url``, once a connection was made.

    :raises click.ClickException: if it does not answer or refuses the user.
    """
    from aiida.brokers.rabbitmq.defaults import detect_rabbitmq_config

    parts = parse_url(url, 'amqp', 'amqps')
    host, port = parts.hostname or '127.0.0.1', parts.port or 5672
    try:
        config: dict[str, t.Any] = detect_rabbitmq_config(
            protocol=parts.scheme,
            username=unquote(parts.username or 'guest'),
            password=unquote(parts.password or 'guest'),
            host=host,
            port=port,
            virtual_host=unquote(parts.path.strip('/')),
        )
    except ConnectionError as exception:
        # The message of AiiDA repeats the password.
        message = f'no RabbitMQ at {host}:{port}, or it refuses the user: {exception.__cause__}'
        raise click.ClickException(message) from exception
    return config


def parse_url(url: str, *schemes: str) -> SplitResult:
    """Return the parts of a URL.

    :raises click.ClickException: if it is none of ``schemes``, without repeating it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in schemes and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        message = f'not a URL of the kind {schemes[0]}://USER:PASSWORD@HOST:PORT'
        raise click.ClickException(message)
    return parts


def enable_caching(profile: str) -> None:
    """Let finished calculations of this package be reused: what was computed once is never computed again."""
    from aiida.manage.configuration import get_config

    config = get_config()
    enabled = list(config.get_option('caching.enabled_for', scope=profile) or [])
    if CACHED not in enabled:
        config.set_option('caching.enabled_for', [*enabled, CACHED], scope=profile)
        config.store()


def prepare_localhost() -> t.Any:
    """Return this machine as a computer that is asked for finished jobs twice a second; it is set up if missing.

    Then it does without a login shell: reading the files of one takes longer than the question, and the worker waits.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.manage.configuration import get_config, get_profile
    from aiida.orm import Computer, load_computer

    try:
        computer = load_computer('localhost')
    except NotExistent:
        profile = get_profile()
        computer = Computer(
            label='localhost',
            hostname='localhost',
            description='This machine, without a scheduler',
            transport_type='core.local',
            scheduler_type='core.direct',
            workdir=str(Path(get_config().dirpath) / 'scratch' / profile.name),
        ).store()
        computer.set_default_mpiprocs_per_machine(1)
        computer.configure(use_login_shell=False)
    computer.set_minimum_job_poll_interval(0.5)
    computer.configure(safe_interval=0.0)
    return computer


def ensure_code(label: str, plugin: str, computer: t.Any) -> None:
    """Register the Python that runs this command as a code, unless that is done.

    :raises click.ClickException: if the label is taken by another executable.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import InstalledCode, load_code

    try:
        code = load_code(f'{label}@{computer.label}')
    except NotExistent:
        InstalledCode(
            label=label,
            computer=computer,
            filepath_executable=sys.executable,
            default_calc_job_plugin=plugin,
            prepend_text=BEFORE_JOBS,
        ).store()
        return
    if str(code.filepath_executable) != sys.executable:
        message = (
            f'code {code.full_label} points to {code.filepath_executable}, not to {sys.executable}: '
            f'use that environment, or hide the code with `verdi code hide {code.pk}` and relabel it'
        )
        raise click.ClickException(message)
