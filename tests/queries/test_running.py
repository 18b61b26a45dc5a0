"""What runs under a process: the open processes with the path to them, and for each job where it is and since when."""

from __future__ import annotations

import pytest
from aiida.common import timezone
from timed_processes import call, campaign, energy, job, ladder, set_times, stage

from aiida_qagenai.queries.running import jobs_among, open_processes, task_in_words

pytestmark = pytest.mark.usefixtures('frozen_time')


@pytest.fixture
def running_energy(pyscf_code):
    """Return an EnergyWorkChain below a campaign that runs."""
    node = campaign(pyscf_code)
    cycle = stage(node, 'cycle001')
    energies = ladder(cycle, pyscf_code, {'c00000': ['PBE', 'HSE06']})
    energy(energies, 'c00000', 'PBE')
    return node, energy(energies, 'c00000', 'HSE06', state='waiting')


def test_only_what_has_not_ended_is_found(running_energy):
    """Each with the labels of the calls from the campaign to it."""
    node, last = running_energy
    found = open_processes(node.pk)
    assert [process.path for process in found] == [
        (),
        ('cycle001',),
        ('cycle001', 'energies'),
        ('cycle001', 'energies', 'c00000hse06'),
    ]
    assert found[-1].pk == last.pk


def test_what_ends_is_a_change(pyscf_code):
    """A campaign whose child has just ended has not stood still, even if it has not noticed yet."""
    node = campaign(pyscf_code)
    call(node, 'cycle001', 'Cycle', age=5000, seconds=4990)
    set_times(node, 5000, 0)
    (found,) = open_processes(node.pk)
    assert (timezone.now() - found.changed).total_seconds() == pytest.approx(10)


def test_nothing_is_open_under_a_process_that_has_ended(pyscf_code):
    assert open_processes(campaign(pyscf_code, state='finished').pk) == []


def test_a_running_job(running_energy, localhost):
    """What it computes, where, in which state, and since when the scheduler says so."""
    node, caller = running_energy
    base = call(caller, 'calculation', 'PyscfCellBase', state='waiting')
    job(base, 'iteration_01', localhost, age=300, seconds=100)
    (found,) = jobs_among(open_processes(node.pk))
    assert (found.what, found.state, found.computer) == ('HSE06 of LiH (c00000)', 'running', 'localhost')
    assert not found.has_queue
    assert (timezone.now() - found.since).total_seconds() == pytest.approx(200)


def test_a_magnetic_ordering_is_named(running_energy, localhost):
    node, caller = running_energy
    job(call(caller, 'ferromagnetic', 'Energy', state='waiting'), 'calculation', localhost)
    assert jobs_among(open_processes(node.pk))[0].what == 'HSE06 of LiH (c00000), ferromagnetic'


@pytest.mark.parametrize(
    ('state', 'scheduler', 'words'),
    [
        (None, None, 'preparing'),
        ('uploading', None, 'uploading'),
        ('withscheduler', None, 'submitted'),
        ('withscheduler', 'queued', 'queued'),
        ('withscheduler', 'queued held', 'held'),
        ('retrieving', 'done', 'retrieving'),
        ('parsing', 'done', 'reading the results'),
    ],
)
def test_states_of_a_job(running_energy, localhost, state, scheduler, words):
    node, caller = running_energy
    job(caller, 'calculation', localhost, state=state, scheduler=scheduler)
    assert jobs_among(open_processes(node.pk))[0].state == words


def test_a_paused_job(running_energy, localhost):
    """Whatever it was doing before."""
    node, caller = running_energy
    job(caller, 'calculation', localhost, state='uploading', paused=True, status='Pausing after failed transport task')
    (found,) = jobs_among(open_processes(node.pk))
    assert (found.state, found.status) == ('paused', 'Pausing after failed transport task')


@pytest.mark.parametrize(
    ('link', 'words'),
    [
        ('generate', 'candidates'),
        ('relax', 'relaxation of candidates and known crystals'),
        ('relaxagain', 'relaxation of candidates and known crystals'),
        ('trainvalidator', 'training of the validator'),
        ('relaxc00001', 'relaxation of {formula} (c00001)'),
        ('referenceshse06', 'references at HSE06'),
        ('calculation', ''),
    ],
)
def test_links_in_words(link, words):
    assert task_in_words(link) == words


def test_references_in_words():
    assert task_in_words('Helementhse06', reference=True) == 'HSE06 of the reference H as an element'
