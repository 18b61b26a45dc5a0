"""`aiida-qagenai setup`: a profile, this computer and the codes, ready for a campaign on this machine."""

from __future__ import annotations

import sys
import typing as t
import warnings

import click

from aiida_qagenai.cli.params import option

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
@option('--profile', 'name', default='qagenai', help='Profile, which is created if missing.')
@option(
    '--postgresql',
    metavar='URL',
    envvar='QAGENAI_POSTGRESQL',
    help='Empty database for a new profile, postgresql://USER:PASSWORD@HOST:PORT/NAME; SQLite otherwise.',
)
@option(
    '--rabbitmq',
    metavar='URL',
    envvar='QAGENAI_RABBITMQ',
    help='Message broker for a new profile, amqp://USER:PASSWORD@HOST:PORT; that of AiiDA otherwise.',
)
@option('--workers', type=click.IntRange(1), help='Number of workers of the daemon from its next start on.')
def setup(name: str, *, postgresql: str | None, rabbitmq: str | None, workers: int | None) -> None:
    """Prepare this machine for calculations.

    Sets up a profile, the computer `localhost`, two codes and caching. Without options it uses SQLite and AiiDA's own
    message broker, and no service is needed. An existing profile is completed by what it lacks, so that running the
    command again changes nothing. The URLs may come from the environment (QAGENAI_POSTGRESQL, QAGENAI_RABBITMQ), which
    keeps their passwords out of the process list.
    """
    with warnings.catch_warnings():
        # AiiDA warns that a first import creates the folder of its configuration, which a newcomer asks for here.
        warnings.filterwarnings('ignore', 'Creating AiiDA configuration folder')
        from aiida_qagenai.engine import profile

    if not profile.profile_exists(name):
        profile.create_profile(name, postgresql, rabbitmq)
    elif postgresql or rabbitmq:
        message = f'profile `{name}` exists: its database and its broker stay what they are; choose another name'
        raise click.ClickException(message)
    profile.open_profile(name)
    # What was computed once is never computed again.
    profile.enable_caching(name, CACHED)
    if workers:
        profile.set_default_workers(name, workers)
    computer = prepare_localhost()
    for label, plugin in ((PYSCF_CODE, 'qagenai.pyscf_cell'), (ML_CODE, 'qagenai.train')):
        ensure_code(label, plugin, computer)
    click.echo(f'profile `{name}` is ready: codes {PYSCF_CODE}@localhost and {ML_CODE}@localhost')


def prepare_localhost() -> t.Any:
    """Return this machine as a computer that is asked for finished jobs twice a second; it is set up if missing.

    Then it does without a login shell: reading the files of one takes longer than the question, and the worker waits.
    """
    from aiida import get_profile
    from aiida.common.exceptions import NotExistent
    from aiida.orm import Computer, load_computer

    from aiida_qagenai.engine.profile import configuration_folder

    try:
        computer = load_computer('localhost')
    except NotExistent:
        computer = Computer(
            label='localhost',
            hostname='localhost',
            description='This machine, without a scheduler',
            transport_type='core.local',
            scheduler_type='core.direct',
            workdir=str(configuration_folder() / 'scratch' / get_profile().name),
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
