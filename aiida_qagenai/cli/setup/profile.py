"""The profile of AiiDA: storage, broker, daemon, computer and codes, examined and mended."""

from __future__ import annotations

import dataclasses
import os
import sys
import typing as t

import click

from aiida_qagenai.cli.setup.local import (
    PLUGINS,
    PYSCF_CODE,
    check_codes,
    check_computer,
    ensure_code,
    is_executable,
    local_codes,
    prepare_localhost,
)
from aiida_qagenai.cli.setup.machine import check_local_cc, check_pyscf
from aiida_qagenai.cli.setup.rows import Row, State
from aiida_qagenai.engine import daemon, health, profile
from aiida_qagenai.engine.health import DaemonState, StorageState

__all__ = ('check', 'prepare')

if t.TYPE_CHECKING:
    from aiida.orm import InstalledCode


def prepare(name: str, postgresql: str | None, rabbitmq: str | None, workers: int | None, cached: str) -> list[str]:
    """Create or complete a profile, mend what can be mended, and return one line for each thing that was.

    :param cached: pattern of the process types that are taken from the cache.
    :raises click.ClickException: if the storage cannot be used, or services are given for a profile that exists.
    """
    mended = []
    if not profile.profile_exists(name):
        profile.create_profile(name, postgresql, rabbitmq)
    elif postgresql or rabbitmq:
        message = f'profile `{name}` exists: its database and its broker stay what they are; choose another name'
        raise click.ClickException(message)
    else:
        mended += mend_storage(name)
    profile.open_profile(name)
    # What was computed once is never computed again.
    profile.enable_caching(name, cached)
    if workers:
        profile.set_default_workers(name, workers)
    computer = prepare_localhost()
    mended += [line for label in PLUGINS if (line := ensure_code(label, computer))]
    prepare_bases()
    return [*mended, *mend_daemon()]


def prepare_bases() -> None:
    """Install the Gaussian bases that come with the package, unless they are there."""
    from aiida_qagenai.data.basis import BasisFamily, install_families
    from aiida_qagenai.exchange.basis import find_source

    source = find_source('ccgto')
    installed = {str(family.label) for family in BasisFamily.collection.all()}
    if not installed.issuperset(source.label(name) for name in source.sets):
        install_families(source)


def mend_storage(name: str) -> list[str]:
    """Remove locks of processes that have ended, and migrate the storage if the user agrees.

    :raises click.ClickException: if the storage cannot be used.
    """
    mended = []
    if number := health.clear_dead_locks(name):
        mended.append(f'removed {number} lock of a process that no longer runs')
    state, text = health.storage_state(name)
    if state is StorageState.UNMIGRATED:
        click.echo(f'the storage of profile `{name}` is of another version of AiiDA: {text}', err=True)
        question = 'Migrate it now? Older versions of AiiDA cannot read it afterwards.'
        if not sys.stdin.isatty() or not click.confirm(question, err=True):
            raise click.ClickException(storage_advice(name, state))
        health.migrate_storage(name)
        mended.append('the storage was migrated')
    elif state is not StorageState.READY:
        raise click.ClickException(f'the storage of profile `{name}`: {text}; {storage_advice(name, state)}')
    return mended


def mend_daemon() -> list[str]:
    """Remove what a killed daemon has left, and restart one of other versions or without a broker."""
    state, text = health.daemon_state()
    if state is DaemonState.STALE:
        daemon.clear_remains()
        return [f'removed the files of the daemon: {text}']
    if state in {DaemonState.OUTDATED, DaemonState.WITHOUT_BROKER}:
        daemon.restart_daemon()
        return [f'the daemon was restarted: {text}']
    return []


def check(name: str) -> list[Row]:
    """Return the rows of a profile, which is opened if its storage can be used."""
    if not profile.profile_exists(name):
        return [Row('profile', 'profile', State.PROBLEM, f'there is no profile `{name}`', run_setup(name))]
    state, text = health.storage_state(name)
    if state is not StorageState.READY:
        return [Row('profile', 'storage', State.PROBLEM, text, storage_advice(name, state))]
    profile.open_profile(name)
    codes = local_codes()
    rows = [
        Row('profile', 'storage', State.OK, f'profile `{name}`: {text}'),
        broker_row(health.broker_state()),
        daemon_row(*health.daemon_state(), run_setup(name)),
        check_computer(run_setup(name)),
        *check_codes(codes, run_setup(name)),
    ]
    return [*rows, *check_pythons(codes)]


def check_pythons(codes: list[InstalledCode]) -> list[Row]:
    """Return the rows of PySCF in other Pythons than this one: that of the code `pyscf`, and one with pyscf-forge."""
    paths = {code.label: str(code.filepath_executable) for code in codes if is_executable(code)}
    forge = [path for path in (paths.get('pyscf-forge'), os.environ.get('QAGENAI_LNO_PYTHON')) if path]
    rows = [check_local_cc(forge)]
    if (path := paths.get(PYSCF_CODE, sys.executable)) != sys.executable:
        rows.append(dataclasses.replace(check_pyscf(path), name=f'PySCF of {PYSCF_CODE}@localhost'))
    return rows


def run_setup(name: str) -> str:
    """Return the command that mends a profile."""
    return f'aiida-qagenai setup --profile {name}'


def storage_advice(name: str, state: StorageState) -> str:
    """Return what to do about a storage, in one line."""
    return {
        StorageState.READY: '',
        StorageState.LOCKED: f'wait for that process or end it; `{run_setup(name)}` removes a lock left behind',
        StorageState.UNMIGRATED: f'verdi -p {name} storage backup FOLDER, then verdi -p {name} storage migrate',
        StorageState.UNREACHABLE: f'start the database, or see where it should be: verdi profile show {name}',
        StorageState.BROKEN: f'restore the last backup: verdi profile show {name} says where the storage is',
    }[state]


def broker_row(state: health.BrokerState) -> Row:
    """Return the row of the broker."""
    if state.reachable is None:
        return Row('profile', 'broker', State.OK, f'{state.name}, which comes and goes with the daemon')
    if state.reachable:
        return Row('profile', 'broker', State.OK, state.name)
    advice = 'start it (`systemctl start rabbitmq-server`); `aiida-qagenai setup --profile NEW` needs no service'
    return Row('profile', 'broker', State.PROBLEM, f'{state.name}: {state.error}', advice)


def daemon_row(state: DaemonState, text: str, advice: str) -> Row:
    """Return the row of the daemon."""
    if state in {DaemonState.RUNS, DaemonState.STOPPED}:
        return Row('profile', 'daemon', State.OK, text)
    # `ensure_daemon` clears what a killed one has left before it starts another.
    found = State.NOTE if state is DaemonState.STALE else State.PROBLEM
    return Row('profile', 'daemon', found, text, advice)
