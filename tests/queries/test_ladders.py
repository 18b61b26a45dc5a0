"""How far a ladder of energies is: counts by rung, what runs, and the time left."""

from __future__ import annotations

import pytest
from aiida.common import timezone
from timed_processes import energy, ladder

from aiida_qagenai.queries.durations import History, Kind
from aiida_qagenai.queries.ladders import Count, ladder_plan, ladder_progress

pytestmark = pytest.mark.usefixtures('frozen_time')

PLAN = {'a': ['PBE', 'HSE06'], 'b': ['PBE', 'HSE06']}


def progress_of(node, history=None, *, has_ended=False):
    return ladder_progress(node.pk, ladder_plan(node.pk), history or History(), timezone.now(), has_ended=has_ended)


def known(code, **seconds: float) -> History:
    """Return a history of energies of two atoms, by level."""
    history = History()
    for level, value in seconds.items():
        history.add(Kind('EnergyWorkChain', level, 'fast', code.computer.pk), 2, value)
    return history


def test_counts_by_rung(pyscf_code):
    """Ended of all that are planned, and the failed among them."""
    node = ladder(None, pyscf_code, PLAN)
    energy(node, 'a', 'PBE')
    energy(node, 'b', 'PBE', status=410)
    energy(node, 'a', 'HSE06', state='waiting')
    found = progress_of(node)
    assert found.counts == {'PBE': Count(2, 2, 1), 'HSE06': Count(0, 2, 0)}
    assert [(task.task, task.label) for task in found.running] == [('HSE06', 'a')]
    assert (found.num_waiting, found.width) == (1, 2)


def test_what_was_called_again_counts_once(pyscf_code):
    """A child that the machine lost is called again under a longer label."""
    node = ladder(None, pyscf_code, PLAN)
    energy(node, 'a', 'PBE', state='excepted', age=90)
    again = energy(node, 'a', 'PBE', state='waiting', age=50)
    found = progress_of(node)
    assert found.counts['PBE'] == Count(0, 2, 0)
    assert [task.pk for task in found.running] == [again.pk]


def test_what_an_ended_ladder_did_not_start_does_not_wait(pyscf_code):
    node = ladder(None, pyscf_code, PLAN, state='finished')
    assert progress_of(node, has_ended=True).num_waiting == 0


def test_time_left_from_the_history(pyscf_code):
    """Two run at a time: 40 s of the one that runs and 2 × 100 s of those that wait, side by side."""
    node = ladder(None, pyscf_code, PLAN)
    energy(node, 'a', 'PBE')
    energy(node, 'b', 'PBE', state='waiting', age=20)
    found = progress_of(node, known(pyscf_code, PBE=60.0, HSE06=100.0))
    assert found.left == pytest.approx((40 + 200) / 2)
    assert found.unknown == ()
    assert found.running[0].expected == 60.0


def test_what_has_no_history_is_named(pyscf_code):
    """The rest is a lower bound."""
    node = ladder(None, pyscf_code, PLAN)
    found = progress_of(node, known(pyscf_code, PBE=60.0))
    assert found.unknown == ('HSE06',)
    assert found.left == pytest.approx(60.0)


def test_a_calculation_beyond_its_time_has_nothing_left(pyscf_code):
    node = ladder(None, pyscf_code, {'a': ['PBE']})
    energy(node, 'a', 'PBE', state='waiting', age=500)
    assert progress_of(node, known(pyscf_code, PBE=60.0)).left == 0.0
