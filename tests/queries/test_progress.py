"""The progress of a process at one moment, read again and again."""

from __future__ import annotations

import pytest
from aiida.orm import CalcFunctionNode, CalcJobNode
from timed_processes import call, campaign, energy, job, ladder, stage

from aiida_qagenai.queries.progress import Watch

pytestmark = pytest.mark.usefixtures('frozen_time')

AGAIN = 'aiida-qagenai campaign continue 1'


@pytest.fixture
def computing(pyscf_code):
    """Return a campaign whose second cycle computes energies; its first one took 300 s."""
    node = campaign(pyscf_code)
    first = stage(node, 'cycle001', state='finished', age=800, seconds=300)
    old = ladder(first, pyscf_code, {'a': ['PBE', 'SCAN']}, state='finished', seconds=200)
    energy(old, 'a', 'PBE', seconds=50)
    energy(old, 'a', 'SCAN', seconds=90)
    call(first, 'trainvalidator', 'Train', CalcJobNode, seconds=30, computer=pyscf_code.computer)
    second = stage(node, 'cycle002', age=400)
    for link in ('known', 'assess'):
        call(second, link, link, CalcFunctionNode)
    energies = ladder(second, pyscf_code, {'b': ['PBE', 'SCAN']})
    running = energy(energies, 'b', 'PBE', state='waiting', age=20)
    return node, running


def test_a_campaign_that_computes(computing, localhost):
    """Stages, the step, its counts, the jobs, and without a daemon the reason to wait."""
    node, running = computing
    job(running, 'calculation', localhost)
    progress = Watch(node, AGAIN).read()
    assert [stage.name for stage in progress.stages] == ['cycle 1', 'cycle 2']
    assert [bool(stage.steps) for stage in progress.stages] == [False, True]
    assert (progress.step.name, progress.state, progress.num_cycles) == ('compute', 'running', 3)
    assert [found.what for found in progress.jobs] == ['PBE of LiH (b)']
    assert progress.reasons[0] == f'The daemon is not running. To go on: {AGAIN}'


def test_the_time_left_of_a_campaign(computing):
    """Of this cycle 30 and 90 s side by side, and 30 s of training; 300 s for the last one."""
    progress = Watch(computing[0], AGAIN).read()
    assert progress.unknown == ()
    assert progress.left == pytest.approx(90 + 30 + 300)


def test_what_is_unknown_is_named(pyscf_code):
    """Nothing has finished in this profile."""
    node = campaign(pyscf_code)
    stage(node, 'seed')
    progress = Watch(node, AGAIN).read()
    assert progress.left is None
    assert progress.unknown == ('compute', 'learn', 'whole cycles')


def test_a_change_is_seen_by_the_next_look(computing):
    """Also if another process made it."""
    node, running = computing
    watch = Watch(node, AGAIN)
    assert watch.read().step.counts['PBE'].done == 0
    from plumpy.process_states import ProcessState

    running.set_process_state(ProcessState.FINISHED)
    running.set_exit_status(0)
    assert watch.read().step.counts['PBE'].done == 1


def test_a_ladder_of_energies(pyscf_code):
    node = ladder(None, pyscf_code, {'a': ['PBE', 'SCAN']})
    energy(node, 'a', 'PBE')
    progress = Watch(node, AGAIN).read()
    assert progress.num_cycles is None
    assert progress.step.counts['PBE'].done == 1
    assert progress.unknown == ('SCAN',)


def test_a_campaign_that_has_ended(pyscf_code):
    """It waits for nothing, and has no time left."""
    node = campaign(pyscf_code, state='finished', age=900)
    stage(node, 'cycle001', state='finished')
    progress = Watch(node, AGAIN).read()
    assert (progress.state, progress.reasons, progress.jobs, progress.left) == ('finished', (), (), None)
    assert progress.elapsed == pytest.approx(900, abs=1)
