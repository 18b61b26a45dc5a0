"""`aiida-qagenai setup`: this machine and its jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aiida_qagenai.cli.setup import BEFORE_JOBS, prepare_localhost


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


def test_a_newcomer_sees_no_warning(tmp_path):
    """AiiDA warns that it creates the folder of its configuration, which is what the command is for."""
    command = [str(Path(sys.executable).parent / 'aiida-qagenai'), 'setup']
    environment = {**os.environ, 'AIIDA_PATH': str(tmp_path)}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert result.stdout.startswith('profile `qagenai` is ready')
    assert result.stderr == ''
