"""Test the benchmark that kills the quickstart, without running one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from interruptions import Profile, compare

UNDISTURBED = {
    'selected': ['001-00001'],
    'crystals': {'001-00001': 'a'},
    'energies': {'001-00001': {'formation_pbe': -1.0, 'formation_hse06': -2.0}},
    'jobs': 3,
    'finished': 3,
    'twice': 0,
    'wall': 100.0,
}


@pytest.mark.parametrize(
    ('changes', 'same', 'energies'),
    [({}, 1.0, 2), ({'selected': []}, 0.0, 2), ({'energies': {'001-00001': {'formation_pbe': -1.5}}}, 1.0, 1)],
)
def test_what_differs_is_said(capsys, changes, same, energies):
    """The candidates, the energies that are there, and by how much they differ."""
    compare({**UNDISTURBED, 'kills': 10, 'wall': 250.0, **changes}, UNDISTURBED)
    figures = {each['name']: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert figures['interruptions-same-candidates']['value'] == same
    assert figures['interruptions-energies']['value'] == energies
    assert figures['interruptions-energies']['reference_value'] == 2
    assert figures['interruptions-largest-difference']['value'] == (0.5 if energies == 1 else 0.0)
    assert figures['interruptions-wall']['ratio'] == 2.5


def test_every_process_of_a_profile_is_killed(tmp_path):
    """Those with its variable, such as the daemon, and those in its folder, such as jobs; no other."""
    profile = Profile(tmp_path / 'mine')
    profile.folder.mkdir()
    sleep = [sys.executable, '-c', 'import time; time.sleep(60)']
    mine = [
        subprocess.Popen(sleep, cwd=profile.folder, start_new_session=True),
        subprocess.Popen(sleep, env=profile.environment, start_new_session=True),
    ]
    other = subprocess.Popen(sleep, cwd=tmp_path)
    try:
        assert {process.pid for process in profile.processes()} == {process.pid for process in mine}
        profile.kill()
        assert not any(psutil.pid_exists(process.pid) for process in mine) and other.poll() is None
    finally:
        for process in (*mine, other):
            process.kill()
            process.wait()
