"""This machine as a computer of AiiDA and the codes on it: examined, registered, and mended where they were moved."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

from aiida_qagenai.cli.setup.rows import Row, State

if t.TYPE_CHECKING:
    from aiida.orm import Computer, InstalledCode

__all__ = (
    'BEFORE_JOBS',
    'ML_CODE',
    'PYSCF_CODE',
    'check_codes',
    'check_computer',
    'ensure_code',
    'local_codes',
    'prepare_localhost',
)

PYSCF_CODE = 'pyscf'
ML_CODE = 'qagenai-ml'
PLUGINS = {PYSCF_CODE: 'qagenai.pyscf_cell', ML_CODE: 'qagenai.train'}
"""Labels of the codes that `setup` registers → their default plugins."""

BEFORE_JOBS = """export OMP_NUM_THREADS=1
# What the daemon does between jobs, and whoever sits at this machine, goes first. Linux weighs sessions before
# processes, and each job is a session of its own: without the second line the first says nothing.
renice -n 10 -p $$ > /dev/null 2>&1 || true
{ echo 10 > /proc/$$/autogroup; } 2> /dev/null || true"""
"""Of the codes on this machine, which has no scheduler."""


def prepare_localhost() -> Computer:
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


def ensure_code(label: str, computer: Computer, python: str = sys.executable) -> str:
    """Register a Python as a code unless there is one of that label whose executable exists.

    A code cannot change and belongs to what it has computed. One whose executable is gone is therefore kept under
    another label and hidden, and a new one takes its place.

    :return: what was mended, in one line; empty if nothing was.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import InstalledCode, load_code

    mended = ''
    try:
        code = load_code(f'{label}@{computer.label}')
    except NotExistent:
        pass
    else:
        if is_executable(code):
            return ''
        old = free_label(label, computer)
        mended = f'{label}@{computer.label} now runs {python}; the code whose executable is gone is hidden as {old}'
        code.label, code.is_hidden = old, True
    InstalledCode(
        label=label,
        computer=computer,
        filepath_executable=python,
        default_calc_job_plugin=PLUGINS[label],
        prepend_text=BEFORE_JOBS,
    ).store()
    return mended


def free_label(label: str, computer: Computer) -> str:
    """Return the first of ``label-old-1``, ``label-old-2``, … that no code of the computer has."""
    from aiida.orm import InstalledCode, QueryBuilder

    query = QueryBuilder().append(type(computer), filters={'id': computer.pk}, tag='computer')
    query.append(InstalledCode, with_computer='computer', project='label')
    taken = set(query.all(flat=True))
    return next(name for number in range(1, len(taken) + 2) if (name := f'{label}-old-{number}') not in taken)


def is_executable(code: InstalledCode) -> bool:
    """Return whether the executable of a code on this machine can be run; one without a folder is looked up later."""
    path = Path(code.filepath_executable)
    return not path.is_absolute() or (path.is_file() and os.access(path, os.X_OK))


def local_codes() -> list[InstalledCode]:
    """Return the codes on this machine that are not hidden, sorted by label."""
    from aiida.orm import Computer, InstalledCode, QueryBuilder

    query = QueryBuilder().append(Computer, filters={'transport_type': 'core.local'}, tag='computer')
    query.append(InstalledCode, with_computer='computer', project='*')
    return sorted((code for code in query.all(flat=True) if not code.is_hidden), key=lambda code: code.full_label)


def check_computer(advice: str) -> Row:
    """Return the row of the computer `localhost`: there, configured for this user, and its working folder writable.

    :param advice: the command that sets it up.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import load_computer

    try:
        computer = load_computer('localhost')
    except NotExistent:
        return Row('profile', 'computer', State.PROBLEM, 'there is no computer `localhost`', advice)
    if not computer.is_configured:
        return Row('profile', 'computer', State.PROBLEM, '`localhost` is not configured', advice)
    folder = Path(computer.get_workdir().format(username=os.environ.get('USER', '')))
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        text = f'jobs would run in {existing}, where you may not write'
        return Row('profile', 'computer', State.PROBLEM, text, f'chmod u+w {existing}, or become its owner')
    return Row('profile', 'computer', State.OK, f'localhost, jobs in {folder}')


def check_codes(codes: list[InstalledCode], advice: str, python: str = sys.executable) -> list[Row]:
    """Return one row for each code on this machine, and one for each of the two of `setup` that is missing.

    :param advice: the command that registers those two.
    """
    known = {code.full_label for code in codes}
    rows = [
        Row('profile', f'code {label}', State.PROBLEM, f'there is no {label}@localhost', advice)
        for label in PLUGINS
        if f'{label}@localhost' not in known
    ]
    return [*rows, *(check_code(code, advice, python) for code in codes)]


def check_code(code: InstalledCode, advice: str, python: str) -> Row:
    """Return the row of one code: whether its executable exists, and whether a code of `setup` runs this Python."""
    ours = code.computer.label == 'localhost' and code.label in PLUGINS
    name, path = f'code {code.label}', str(code.filepath_executable)
    if not is_executable(code):
        other = f'verdi code relabel {code.pk} {code.label}-old, then verdi code create for the present program'
        found = f'{path} does not exist or cannot be run'
        return Row('profile', name, State.PROBLEM, found, advice if ours else other)
    if ours and path != python:
        other = f'if it should run this one: verdi code relabel {code.pk} {code.label}-2, then {advice}'
        return Row('profile', name, State.NOTE, f'{path}, not the Python of this command ({python})', other)
    return Row('profile', name, State.OK, path)
