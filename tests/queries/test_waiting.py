"""Why a process waits: one sentence for each cause, with the way out, and none where nothing is wrong."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from aiida_qagenai.engine.machine import MachineState
from aiida_qagenai.queries.ladders import LadderProgress, Task
from aiida_qagenai.queries.running import Job, OpenProcess
from aiida_qagenai.queries.waiting import disabled_computers, duration, reasons_to_wait

NOW = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)
AGAIN = 'aiida-qagenai campaign continue 6'
MACHINE = MachineState(daemon=True, broker=True, workers=1, slots=200, processes=5, free_mb={'/data': 90000.0})


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def process(pk: int = 6, **changes) -> OpenProcess:
    """Return a campaign that changed a minute ago."""
    known = OpenProcess(pk, 'CampaignWorkChain', (), 'waiting', '', False, ago(3600), ago(60), False)
    return dataclasses.replace(known, **changes)


def job(state: str = 'running', seconds: float = 60, **changes) -> Job:
    known = Job(
        pk=9,
        process='PyscfCellCalculation',
        path=('energies', 'c00000pbe'),
        what='PBE of LiH (c00000)',
        computer='cluster',
        state=state,
        since=ago(seconds),
        created=ago(seconds),
        status='',
        job_id='4711',
        has_queue=True,
    )
    return dataclasses.replace(known, **changes)


def ladder(num_running: int, num_waiting: int, *, age: float = 60, expected: float | None = 50) -> LadderProgress:
    tasks = [
        Task(i, 'PBE', f'c0000{i}', 'EnergyWorkChain', False, False, ago(age), expected) for i in range(num_running)
    ]
    return LadderProgress({}, tuple(tasks), num_waiting, width=2, left=10.0, unknown=())


def reasons(*, processes=None, jobs=(), machine=MACHINE, **more) -> list[str]:
    return reasons_to_wait(processes or [process()], jobs, machine, NOW, again=AGAIN, **more)


def test_nothing_is_said_of_a_process_that_works():
    assert reasons(jobs=[job()], ladder=ladder(1, 0), is_held=True) == []


def test_nothing_is_said_of_a_process_that_has_ended():
    assert reasons_to_wait([], [], dataclasses.replace(MACHINE, daemon=False), NOW, again=AGAIN) == []


@pytest.mark.parametrize(
    ('changes', 'sentence', 'way_out'),
    [
        ({'daemon': False, 'broker': False, 'workers': 0}, 'The daemon is not running', AGAIN),
        ({'broker': False}, 'The message broker does not answer', AGAIN),
        ({'workers': 0}, 'The daemon has no worker', 'verdi daemon incr'),
        ({'processes': 200}, 'All 200 slots of the daemon are taken by 200 processes', 'verdi daemon incr'),
        ({'free_mb': {'/data': 120.0}}, 'The disk of /data has 120 MB left', 'free some'),
    ],
)
def test_what_is_wrong_with_the_machine(changes, sentence, way_out):
    """One sentence, and no second one for what follows from it."""
    (reason,) = reasons(machine=dataclasses.replace(MACHINE, **changes), is_held=None)
    assert reason.startswith(sentence)
    assert way_out in reason


def test_slots_are_not_judged_where_the_daemon_does_not_say_how_many_workers_it_has():
    assert reasons(machine=dataclasses.replace(MACHINE, workers=None, processes=10**6)) == []


def test_paused_jobs_are_played():
    """AiiDA pauses a job whose transfers failed; the status says which."""
    paused = [
        process(
            pk, process='PyscfCellCalculation', paused=True, status='Pausing after failed transport task: upload\n…'
        )
        for pk in (8, 9)
    ]
    (reason,) = reasons(processes=[process(), *paused])
    assert reason.startswith(
        'PyscfCellCalculation 8 and 1 more is paused (Pausing after failed transport task: upload)'
    )
    assert '`verdi process play 8 9`' in reason
    assert AGAIN in reason


def test_a_disabled_computer():
    (reason,) = reasons(jobs=[job()], disabled={'cluster', 'other'})
    assert reason.startswith('Computer cluster is disabled or not configured')
    assert 'verdi computer enable cluster' in reason


def test_a_computer_that_does_not_answer():
    """A long transfer is being repeated, or about to be paused."""
    (reason,) = reasons(jobs=[job('uploading', 240)])
    assert reason.startswith('One job waits for cluster, 9 is uploading for 4 min')
    assert '`verdi computer test cluster`' in reason
    assert reasons(jobs=[job('uploading', 30)]) == []


def test_the_queue_of_a_scheduler():
    (reason,) = reasons(jobs=[job('queued'), job('queued', pk=10, job_id='4712')])
    assert reason == '2 jobs are queued by the scheduler of cluster, the first as its job 4711.'


def test_no_queue_where_there_is_no_scheduler():
    assert reasons(jobs=[job('queued', has_queue=False)]) == []


def test_a_process_that_no_worker_runs():
    (reason,) = reasons(processes=[process(changed=ago(300))], is_held=False)
    assert reason == f'No worker runs CampaignWorkChain 6. To send it again: {AGAIN}'
    assert reasons(processes=[process(changed=ago(300))], is_held=True) == []
    assert reasons(processes=[process(changed=ago(300))], is_held=None) == []


def test_a_process_that_waits_for_a_worker():
    late = process(8, process='EnergyWorkChain', state='created', created=ago(300), changed=ago(300))
    (reason,) = reasons(processes=[process(), late], is_held=True)
    assert reason.startswith('One process waits for a worker to begin, EnergyWorkChain 8 for 5 min')


def test_the_limit_of_calculations_at_a_time():
    (reason,) = reasons(jobs=[job()], ladder=ladder(2, 7))
    assert reason == '7 calculations wait until one of 2 has ended: the limit is `max_concurrent`.'


def test_calculations_that_wait_for_others():
    """Below the limit, an energy waits for what it needs."""
    (reason,) = reasons(jobs=[job()], ladder=ladder(1, 1))
    assert reason.startswith('1 calculation waits for those that run')


def test_a_calculation_that_takes_much_longer_than_the_like():
    (reason,) = reasons(jobs=[job()], ladder=ladder(1, 0, age=1800, expected=60))
    assert reason.startswith('PBE (c00000) has run for 30 min; the like took 60 s here')
    assert 'verdi process report 0' in reason


@pytest.mark.parametrize(('age', 'expected'), [(250, 60), (1000, 500), (5000, None)])
def test_a_calculation_is_not_slow(age, expected):
    """It is young, or not three times as old as expected, or nothing is known of the like."""
    assert reasons(jobs=[job()], ladder=ladder(1, 0, age=age, expected=expected)) == []


def test_a_campaign_that_stands_still_says_what_it_waits_for():
    (reason,) = reasons(processes=[process(changed=ago(1500))], jobs=[job(seconds=1500)], is_held=True)
    assert reason == (
        'Nothing has changed for 25 min: it waits for PBE of LiH (c00000) (running on cluster for 25 min).'
    )


def test_a_long_calculation_is_no_standstill():
    """Such energies take an hour here."""
    quiet = [process(changed=ago(1500))]
    assert reasons(processes=quiet, jobs=[job(seconds=1500)], ladder=ladder(1, 0, age=1500, expected=3600)) == []


def test_a_standstill_without_a_job():
    (reason,) = reasons(processes=[process(changed=ago(1500))], is_held=True)
    assert reason.startswith('Nothing has changed for 25 min: no job runs. `verdi process report 6`')
    assert AGAIN in reason


def test_a_standstill_for_a_known_reason():
    first, second = reasons(
        processes=[process(changed=ago(1500))], machine=dataclasses.replace(MACHINE, daemon=False), is_held=False
    )
    assert first == 'Nothing has changed for 25 min: it waits for the following.'
    assert second.startswith('The daemon is not running')


def test_disabled_computers(localhost):
    """Those of the profile that the user has disabled, or not configured."""
    from aiida.orm import Computer, User

    user = User.collection.get_default()
    assert disabled_computers(['localhost']) == set()
    localhost.get_authinfo(user).enabled = False
    Computer('unused', 'localhost', '', 'core.local', 'core.direct', '/tmp').store()
    assert disabled_computers(['localhost', 'unused']) == {'localhost', 'unused'}


@pytest.mark.parametrize(('seconds', 'words'), [(40, '40 s'), (150, '2 min'), (7260, '2 h 1 min'), (200000, '2 d 7 h')])
def test_time_spans_in_words(seconds, words):
    assert duration(seconds) == words
