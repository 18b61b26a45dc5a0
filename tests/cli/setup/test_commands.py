"""`aiida-qagenai setup` as it is typed: on a new machine, again, after a move and after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [str(Path(sys.executable).parent / 'aiida-qagenai'), 'setup']


@pytest.fixture
def setup(tmp_path):
    """Return a function that runs the command in a configuration of its own."""

    def call(*options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, 'AIIDA_PATH': str(tmp_path)}
        result = subprocess.run([*COMMAND, *options], capture_output=True, text=True, env=environment, check=False)
        assert result.returncode == status, result.stdout + result.stderr
        return result

    return call


def rows(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """Return the rows of the JSON by their names."""
    return {row['name']: row for row in json.loads(result.stdout)}


def test_a_newcomer_sees_a_table_and_no_warning(setup):
    """AiiDA warns that it creates the folder of its configuration, which is what the command is for."""
    result = setup()
    assert result.stdout.splitlines()[-1].startswith('profile `qagenai` is ready')
    assert 'code pyscf' in result.stdout
    assert result.stderr == ''


@pytest.mark.slow
def test_check_looks_and_a_second_run_changes_nothing(setup, tmp_path):
    """Without a profile the check ends in exit status 1 and leaves it so; after `setup` it is content."""
    missing = rows(setup('--check', '--json', status=1))
    assert missing['profile']['state'] == 'problem'
    assert rows(setup('--check', '--json', status=1)).keys() == missing.keys()
    setup()
    configuration = (tmp_path / '.aiida' / 'config.json').read_text()
    assert {row['state'] for row in rows(setup('--check', '--json')).values()} <= {'ok', 'note'}
    assert 'mended' not in setup().stdout
    assert (tmp_path / '.aiida' / 'config.json').read_text() == configuration


@pytest.mark.slow
def test_daemon_that_was_killed_is_cleaned_up(new_machine):
    """Its files are removed, and a daemon of another environment is replaced by one of this."""
    machine = new_machine('mended')
    start = 'from aiida_qagenai.engine.daemon import ensure_daemon\nprint(json.dumps(ensure_daemon()))'
    assert machine.query(start) is True
    machine.crash()
    assert 'mended: removed the files of the daemon' in machine.run('aiida-qagenai', 'setup')
    assert machine.query(start) is True
    (file,) = machine.folder.glob('.aiida/daemon/**/*env*')
    recorded = json.loads(file.read_text())
    file.write_text(json.dumps({**recorded, 'python_binary': '/gone/bin/python'}))
    before = {process.pid for process in machine.processes()}
    assert 'mended: the daemon was restarted' in machine.run('aiida-qagenai', 'setup')
    deadline = time.monotonic() + 30
    while before & {process.pid for process in machine.processes()} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not before & {process.pid for process in machine.processes()}
    assert '/gone' not in file.read_text()
