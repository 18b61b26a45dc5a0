"""What the daemon of the profile is like: here there is none, and its disks and processes can be read all the same."""

from __future__ import annotations

import pytest

from aiida_qagenai.engine import machine
from aiida_qagenai.engine.machine import free_mb, machine_state


def test_a_profile_without_a_daemon(localhost, running):
    """Nothing is asked of it, and what has not ended is counted."""
    from plumpy.process_states import ProcessState

    running().set_process_state(ProcessState.WAITING)
    running().set_process_state(ProcessState.FINISHED)
    state = machine_state()
    assert (state.daemon, state.broker, state.workers, state.processes) == (False, False, 0, 1)
    assert state.slots > 0
    assert all(free > 0 for free in state.free_mb.values())
    assert localhost.get_workdir() in state.free_mb


def test_the_disk_of_a_folder_that_is_not_made_yet(tmp_path):
    assert free_mb(tmp_path / 'a' / 'b') == pytest.approx(free_mb(tmp_path), rel=0.5)


def test_a_daemon_that_does_not_answer_has_an_unknown_number_of_workers(aiida_profile_clean, monkeypatch):
    """Its pid is alive, but nothing listens."""
    monkeypatch.setattr(machine, 'TIMEOUT', 0.2)
    assert machine.num_workers() is None
