"""This machine as a computer and its codes, examined, registered and mended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from aiida.orm import Computer, InstalledCode, QueryBuilder, load_code

from aiida_qagenai.cli.setup.local import (
    BEFORE_JOBS,
    check_code,
    check_codes,
    check_computer,
    ensure_code,
    is_executable,
    local_codes,
    prepare_localhost,
)
from aiida_qagenai.cli.setup.rows import State


def test_this_machine_is_asked_often_and_without_a_login_shell(aiida_profile_clean):
    computer = prepare_localhost()
    assert computer.get_configuration() == {'safe_interval': 0.0, 'use_login_shell': False}
    assert computer.get_minimum_job_poll_interval() == 0.5


def test_a_computer_that_was_there_keeps_its_shell(aiida_profile_clean, aiida_computer_local):
    computer = aiida_computer_local(label='localhost')
    assert prepare_localhost().pk == computer.pk
    assert computer.get_configuration().get('use_login_shell', True)


def test_jobs_on_this_machine_yield_to_the_daemon():
    """Both as a process and, where the kernel weighs sessions, as a session."""
    asked = f'{BEFORE_JOBS}\nnice; cat /proc/self/autogroup 2> /dev/null || true'
    job = subprocess.run(['bash', '-c', asked], check=True, capture_output=True, text=True, start_new_session=True)
    niceness, *session = job.stdout.splitlines()
    # `renice -n` of Debian takes it for the priority, that of POSIX for what is added to it.
    assert int(niceness) in {10, min(19, os.nice(0) + 10)}
    if os.access('/proc/self/autogroup', os.W_OK):
        assert session[0].endswith('nice 10')
    assert job.stderr == ''


@pytest.fixture
def moved(python_code, tmp_path):
    """Return a code `pyscf` whose Python was in an environment that is gone, and that has a calculation."""
    python = tmp_path / 'environment' / 'python'
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    code = python_code('pyscf', 'qagenai.pyscf_cell', executable=str(python))
    assert is_executable(code)
    shutil.rmtree(python.parent)
    return code


def test_code_whose_python_is_gone_is_replaced_and_kept(moved, localhost):
    """The label runs this Python again; the old code keeps its node, under another label and hidden."""
    row = check_code(moved, 'aiida-qagenai setup', sys.executable)
    assert (row.state, row.advice) == (State.PROBLEM, 'aiida-qagenai setup')
    assert 'pyscf-old-1' in ensure_code('pyscf', localhost)
    code = load_code('pyscf@localhost')
    assert str(code.filepath_executable) == sys.executable
    assert (code.default_calc_job_plugin, code.prepend_text) == ('qagenai.pyscf_cell', BEFORE_JOBS)
    old = load_code(moved.pk)
    assert (old.full_label, old.is_hidden, old.uuid) == ('pyscf-old-1@localhost', True, moved.uuid)
    assert [code.label for code in local_codes()] == ['pyscf']
    assert check_code(code, '', sys.executable).state is State.OK


def test_a_second_repair_takes_the_next_label(moved, localhost, tmp_path):
    ensure_code('pyscf', localhost, str(tmp_path / 'also-gone'))
    assert 'pyscf-old-2' in ensure_code('pyscf', localhost)
    assert ensure_code('pyscf', localhost) == ''
    assert QueryBuilder().append(InstalledCode).count() == 3


def test_code_of_another_python_is_left_alone(python_code, localhost, tmp_path):
    """It may be meant; the row says how to change it."""
    python = tmp_path / 'python'
    python.symlink_to(sys.executable)
    code = python_code('pyscf', 'qagenai.pyscf_cell', executable=str(python))
    assert ensure_code('pyscf', localhost) == ''
    row = check_code(code, 'aiida-qagenai setup', sys.executable)
    assert row.state is State.NOTE and f'verdi code relabel {code.pk}' in row.advice


def test_missing_codes_and_those_of_others(python_code, tmp_path):
    """Both codes of `setup` are asked for; a program of others that is gone is only named."""
    code = python_code('pw', 'core.arithmetic.add', executable=str(tmp_path / 'pw.x'))
    rows = check_codes([code], 'aiida-qagenai setup')
    assert [(row.name, row.state) for row in rows] == [
        ('code pyscf', State.PROBLEM),
        ('code qagenai-ml', State.PROBLEM),
        ('code pw', State.PROBLEM),
    ]
    assert 'verdi code create' in rows[-1].advice


def test_computer_that_is_missing_unconfigured_or_ready(aiida_profile_clean, tmp_path):
    assert check_computer('aiida-qagenai setup').state is State.PROBLEM
    computer = Computer('localhost', 'localhost', '', 'core.local', 'core.direct', str(tmp_path)).store()
    assert 'not configured' in check_computer('aiida-qagenai setup').found
    assert prepare_localhost().pk == computer.pk
    assert check_computer('aiida-qagenai setup').state is State.OK
