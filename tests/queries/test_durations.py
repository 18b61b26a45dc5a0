"""How long something takes here: from finished processes of the same kind, and unknown without any."""

from __future__ import annotations

import pytest
from aiida.orm import CalcFunctionNode
from timed_processes import call, campaign, energy, ladder, stage

from aiida_qagenai.queries.durations import (
    History,
    Kind,
    history_of_machine,
    remaining_seconds,
    split_task,
    step_size,
)

PBE = Kind('EnergyWorkChain', 'PBE', 'fast', 1)


def make_history(*samples: tuple[float | None, float], kind: Kind = PBE) -> History:
    """Return a history of processes of one kind, latest first: pairs of size and seconds."""
    history = History()
    for size, seconds in samples:
        history.add(kind, size, seconds)
    return history


def test_nothing_like_it_is_unknown():
    """Another level, another protocol and another computer are not like it."""
    history = make_history((2, 60.0))
    for other in (PBE._replace(task='SCAN'), PBE._replace(protocol='precise'), PBE._replace(computer=2)):
        assert history.expected(other, 2) is None


def test_the_median_of_the_same_size_counts():
    estimate = make_history((2, 50.0), (2, 70.0), (2, 1000.0), (8, 4000.0)).expected(PBE, 2)
    assert (estimate.seconds, estimate.num_samples, estimate.same_size) == (70.0, 3, True)


def test_only_the_latest_of_the_same_size_count():
    """A machine that has become faster is not judged by its past."""
    history = make_history(*[(2, 10.0)] * 20, *[(2, 500.0)] * 50)
    assert history.expected(PBE, 2).seconds == 10.0


def test_a_size_between_known_ones_follows_their_power():
    """Cubic in the number of atoms: 2 atoms took 8 s and 4 atoms 64 s, so 3 take 27 s."""
    estimate = make_history((2, 8.0), (4, 64.0)).expected(PBE, 3)
    assert estimate.seconds == pytest.approx(27.0)
    assert not estimate.same_size


def test_one_known_size_is_taken_in_proportion():
    assert make_history((2, 10.0)).expected(PBE, 4).seconds == pytest.approx(20.0)


def test_a_larger_size_never_takes_less():
    """Small cells that happened to wait for a worker do not make large ones quick."""
    assert make_history((2, 100.0), (4, 50.0)).expected(PBE, 5).seconds == pytest.approx(5000.0**0.5)


def test_a_size_far_from_the_known_ones_is_unknown():
    assert make_history((2, 10.0), (4, 20.0)).expected(PBE, 13) is None


def test_another_process_for_the_same_task_counts_if_there_is_no_other():
    history = make_history((2, 10.0))
    assert history.expected(PBE._replace(process='OrderingsWorkChain'), 2).seconds == 10.0


@pytest.mark.parametrize(
    ('left', 'width', 'seconds'),
    [([], 4, 0.0), ([10.0, 10.0, 10.0, 10.0], 2, 20.0), ([100.0, 1.0], 4, 100.0)],
)
def test_tasks_side_by_side(left, width, seconds):
    """They share the machine, but none ends before its own time."""
    assert remaining_seconds(left, width) == seconds


@pytest.mark.parametrize(
    ('link', 'task'),
    [
        ('s000LiHccsdt', ('CCSD(T)', 's000LiH')),
        ('referenceshse06', ('references', 'HSE06')),
        ('s001Li2Opbeagain', ('PBE', 's001Li2O')),
        ('relaxc00001', ('relax', 'c00001')),
    ],
)
def test_tasks_of_a_ladder(link, task):
    assert split_task(link) == task


def test_energies_that_have_finished(pyscf_code):
    """The size is the number of atoms; those that failed or came from the cache are left out."""
    node = ladder(None, pyscf_code, {'a': ['PBE']}, state='finished')
    energy(node, 'a', 'PBE', seconds=40.0, wall_seconds=30.0)
    energy(node, 'b', 'PBE', seconds=2.0, wall_seconds=30.0)
    energy(node, 'c', 'PBE', seconds=900.0, status=410)
    energy(node, 'd', 'PBE', seconds=800.0, state='waiting')
    kind = PBE._replace(computer=pyscf_code.computer.pk)
    assert history_of_machine().samples[kind] == [(2, pytest.approx(40.0))]


def test_references_that_have_finished(pyscf_code):
    node = ladder(None, pyscf_code, {'a': ['PBE']}, state='finished')
    call(node, 'referencespbe', 'Reference', seconds=30.0)
    kind = Kind('ReferenceWorkChain', 'references PBE', 'fast', pyscf_code.computer.pk)
    assert history_of_machine().expected(kind).seconds == pytest.approx(30.0)


def test_steps_and_cycles_that_have_finished(pyscf_code):
    """A step from the cache says nothing of the machine."""
    node = campaign(pyscf_code)
    cycle = stage(node, 'cycle001', state='finished', seconds=300.0)
    call(cycle, 'assess', 'assess_candidates', CalcFunctionNode, seconds=5.0)
    cached = call(cycle, 'dataset', 'build_dataset', CalcFunctionNode, seconds=0.1)
    cached.base.extras.set('_aiida_cached_from', 'elsewhere')
    history, kind = history_of_machine(), Kind('CycleWorkChain', 'assess', 'fast', pyscf_code.computer.pk)
    assert history.expected(kind).seconds == pytest.approx(5.0)
    assert history.expected(kind._replace(task='cycle'), 30).seconds == pytest.approx(300.0)
    assert history.expected(kind._replace(task='dataset')) is None


def test_the_size_of_a_step():
    settings = {'generate': {'num_candidates': 30}, 'learn': {'validator': {'initial_steps': 200, 'tune_steps': 100}}}
    assert step_size('predict', settings, initial=False) == 30
    assert step_size('trainvalidator', settings, initial=True) == 200
    assert step_size('trainvalidator', settings, initial=False) == 100
    assert step_size('assess', settings, initial=False) is None


def test_the_energies_of_the_initial_set_are_not_those_of_a_cycle(pyscf_code):
    """They have references and many more structures; trainings are alike but for their steps."""
    seed = stage(campaign(pyscf_code), 'seed', state='finished')
    call(seed, 'energies', 'Ladder', seconds=900.0)
    call(seed, 'trainvalidator', 'Train', seconds=80.0)
    history, kind = history_of_machine(), Kind('CycleWorkChain', 'energies', 'fast', pyscf_code.computer.pk)
    assert history.expected(kind) is None
    assert history.expected(kind._replace(task='trainvalidator'), 100).seconds == pytest.approx(40.0)
