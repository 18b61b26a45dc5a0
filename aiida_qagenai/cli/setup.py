"""`aiida-qagenai setup`: a profile, this computer and the codes, ready for a campaign on this machine."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import click

__all__ = ('ML_CODE', 'PYSCF_CODE', 'setup')

PYSCF_CODE = 'pyscf'
ML_CODE = 'qagenai-ml'
CACHED = 'aiida.calculations:qagenai.*'


@click.command('setup')
@click.option('--profile', 'name', default='qagenai', show_default=True, help='Profile to use, created if missing.')
def setup(name: str) -> None:
    """Prepare this machine: an embedded profile, the computer `localhost`, two codes, caching.

    Uses SQLite and AiiDA's own message broker, no service is needed. Running it again changes nothing.
    """
    from aiida import load_profile
    from aiida.manage.configuration import get_config

    if name not in get_config(create=True).profile_names:
        create_profile(name)
    load_profile(name, allow_switch=True)
    enable_caching(name)
    computer = prepare_localhost()
    for label, plugin in ((PYSCF_CODE, 'qagenai.pyscf_cell'), (ML_CODE, 'qagenai.train')):
        ensure_code(label, plugin, computer)
    click.echo(f'profile `{name}` is ready: codes {PYSCF_CODE}@localhost and {ML_CODE}@localhost')


def create_profile(name: str) -> None:
    """Create an embedded profile: SQLite storage and the ZeroMQ broker that comes with the daemon."""
    from aiida.manage.configuration import reset_config

    verdi = Path(sys.executable).with_name('verdi')
    command = [str(verdi), 'presto', '--use-zeromq', '--profile-name', name, '--non-interactive']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        message = f'the profile could not be created:\n{result.stdout}{result.stderr}'
        raise click.ClickException(message)
    reset_config()


def enable_caching(profile: str) -> None:
    """Let finished calculations of this package be reused: what was computed once is never computed again."""
    from aiida.manage.configuration import get_config

    config = get_config()
    enabled = list(config.get_option('caching.enabled_for', scope=profile) or [])
    if CACHED not in enabled:
        config.set_option('caching.enabled_for', [*enabled, CACHED], scope=profile)
        config.store()


def prepare_localhost() -> t.Any:
    """Return this machine as a computer that is asked for finished jobs every second."""
    from aiida.orm import load_computer

    computer = load_computer('localhost')
    computer.set_minimum_job_poll_interval(1.0)
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
            prepend_text='export OMP_NUM_THREADS=1',
        ).store()
        return
    if str(code.filepath_executable) != sys.executable:
        message = (
            f'code {code.full_label} points to {code.filepath_executable}, not to {sys.executable}: '
            f'use that environment, or hide the code with `verdi code hide {code.pk}` and relabel it'
        )
        raise click.ClickException(message)
