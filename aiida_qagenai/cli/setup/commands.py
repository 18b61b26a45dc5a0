"""`aiida-qagenai setup`: what a machine has and lacks, and a profile, this computer and codes for campaigns on it."""

from __future__ import annotations

import concurrent.futures
import sys
import typing as t
import warnings

import click

from aiida_qagenai.cli.params import option
from aiida_qagenai.cli.setup.local import ML_CODE, PYSCF_CODE

if t.TYPE_CHECKING:
    from aiida_qagenai.cli.setup.rows import Row

__all__ = ('setup',)

CACHED = 'aiida.calculations:qagenai.*'


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
@option('--check', 'only_check', is_flag=True, help='Only look; exit status 1 if there is a problem.')
@option('--json', 'as_json', is_flag=True, help='Print the rows of the table as a JSON list.')
def setup(
    name: str,
    *,
    postgresql: str | None,
    rabbitmq: str | None,
    workers: int | None,
    only_check: bool,
    as_json: bool,
) -> None:
    """Prepare this machine for calculations, or check and mend it.

    Sets up a profile, the computer `localhost`, two codes, Gaussian bases and caching. Without options it uses
    SQLite and AiiDA's own message broker, and no service is needed. An existing profile is completed by what it
    lacks, and what was moved or left behind by a crash is mended, so that running the command again changes
    nothing; no data are deleted. A table shows what was looked at and, behind an arrow, what to do: `ok`, `note`
    (something is out of reach) or `problem` (calculations fail, exit status 1). The URLs may come from the
    environment (QAGENAI_POSTGRESQL, QAGENAI_RABBITMQ), which keeps their passwords out of the process list.
    """
    from aiida_qagenai.cli.setup import machine, packages
    from aiida_qagenai.cli.setup.rows import print_rows, print_rows_as_json, problems

    with concurrent.futures.ThreadPoolExecutor() as pool:
        # Processes of their own, which run while AiiDA is loaded.
        torch = pool.submit(machine.ask_torch)
        pyscf = pool.submit(machine.check_pyscf)
        driver = pool.submit(machine.ask_driver)
        with warnings.catch_warnings():
            # AiiDA warns that a first import creates the folder of its configuration, which a newcomer asks for here.
            warnings.filterwarnings('ignore', 'Creating AiiDA configuration folder')
            from aiida_qagenai.cli.setup import profile
            from aiida_qagenai.engine.profile import configuration_folder

        mended = [] if only_check else profile.prepare(name, postgresql, rabbitmq, workers, CACHED)
        state = profile.check(name)
        rows = [
            packages.check_python(),
            *packages.check_packages(),
            *packages.check_extras(),
            machine.check_pw(),
            *machine.check_resources(configuration_folder()),
            machine.check_gpu(driver.result(), torch.result()),
            pyscf.result(),
            *state,
        ]
    rows.sort(key=lambda row: SECTIONS.index(row.section))
    (print_rows_as_json if as_json else print_rows)(rows)
    for line in mended:
        click.echo(f'mended: {line}', err=as_json)
    conclude(name, problems(rows), quiet=as_json)


SECTIONS = ('packages', 'optional', 'machine', 'profile')
"""In the order of the table."""


def conclude(name: str, found: list[Row], *, quiet: bool) -> None:
    """Say in one line whether calculations can start, and end with exit status 1 if they cannot."""
    if found:
        names = ', '.join(row.name for row in found)
        click.echo(f'{len(found)} to solve: {names}', err=True)
        sys.exit(1)
    if not quiet:
        click.echo(f'profile `{name}` is ready: codes {PYSCF_CODE}@localhost and {ML_CODE}@localhost')
