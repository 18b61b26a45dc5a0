"""Following a process: a line for each change in a pipe, a table on a terminal, and Ctrl-C that ends the watching."""

from __future__ import annotations

import io
import json
import re

import pytest
from plumpy.process_states import ProcessState
from rich.console import Console
from timed_processes import campaign, energy, job, ladder, stage

from aiida_qagenai.cli import progress as progress_module
from aiida_qagenai.cli.progress import follow

AGAIN = 'aiida-qagenai campaign continue 1'


@pytest.fixture
def computing(pyscf_code, localhost):
    """Return a campaign that computes two energies, and the two."""
    node = campaign(pyscf_code)
    energies = ladder(stage(node, 'cycle001'), pyscf_code, {'a': ['PBE'], 'b': ['PBE']})
    running = [energy(energies, label, 'PBE', state='waiting') for label in 'ab']
    job(running[0], 'calculation', localhost)
    return node, running


@pytest.fixture
def script(monkeypatch):
    """Pretend that the daemon runs, and let things happen in the pauses between two looks, one after the other."""
    from aiida_qagenai.engine import daemon, machine

    def play(*events):
        left = iter(events)

        def sleep(_):
            next(left)()

        monkeypatch.setattr(progress_module.time, 'sleep', sleep)
        for module in (daemon, machine):
            monkeypatch.setattr(module, 'daemon_runs', lambda: True)
        monkeypatch.setattr(machine, 'broker_answers', lambda: True)
        monkeypatch.setattr(machine, 'num_workers', lambda: 1)

    return play


def finish(*nodes) -> None:
    for node in nodes:
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(0)


def interrupt() -> None:
    raise KeyboardInterrupt


def followed(node, *, terminal: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=160, markup=False, highlight=False)
    follow(node, None, AGAIN, console=console, watch_again='aiida-qagenai campaign follow 1')
    return output.getvalue()


def test_one_line_for_each_change(computing, script):
    """No control characters, nothing twice, and the end."""
    node, (first, second) = computing
    script(lambda: None, lambda: finish(first), lambda: finish(second, node))
    lines = followed(node).splitlines()
    assert '\x1b' not in ''.join(lines)
    assert [re.search(r'compute PBE \d/2', line)[0] for line in lines[:-1]] == [
        'compute PBE 0/2',
        'compute PBE 1/2',
        'compute PBE 2/2',
    ]
    assert re.match(r'\[\d+:\d\d\] cycle 1 of 3: ', lines[0])
    assert lines[-1].endswith(f'CampaignWorkChain {node.pk} ended with exit status 0')


def test_a_job_is_named_in_the_line(computing, script):
    node, _ = computing
    script(interrupt)
    assert 'PBE of LiH (a): running on localhost since' in followed(node)


def test_ctrl_c_ends_the_watching(computing, script):
    """The campaign goes on, and the command to come back is named."""
    node, _ = computing
    script(interrupt)
    output = followed(node)
    assert f'No longer watching; process {node.pk} goes on.' in output
    assert 'aiida-qagenai campaign follow 1' in output
    assert not node.is_terminated


def test_a_terminal_has_a_table(computing, script):
    node, _ = computing
    script(interrupt)
    output = followed(node, terminal=True)
    for part in ('H-Li campaign', 'cycle 1 of 3', 'compute', 'PBE 0/2', 'now', 'PBE of LiH (a): running on localhost'):
        assert part in output


def test_queries_that_take_long_are_further_apart(computing, script, monkeypatch):
    """Following takes a twentieth of a core at most, which the jobs on this machine would miss."""
    node, _ = computing
    script(lambda: None, interrupt)
    clock, pauses, sleep = iter([0.0, 0.01, 10.0, 10.5]), [], progress_module.time.sleep
    monkeypatch.setattr(progress_module.time, 'process_time', lambda: next(clock))
    monkeypatch.setattr(progress_module.time, 'sleep', lambda seconds: (pauses.append(seconds), sleep(seconds)))
    followed(node)
    assert pauses == [2.0, 10.0]


def test_without_a_daemon_the_watching_ends(computing):
    assert followed(computing[0]) == f'The daemon is not running. To go on: {AGAIN}\n'


def test_words_of_a_process_without_known_steps(aiida_profile_clean, script):
    """A relaxation, for example: what is told of it, and the end."""
    from timed_processes import call

    node = call(None, '', 'RelaxMany', state='waiting')
    script(lambda: finish(node))
    output = io.StringIO()
    texts = iter(['1 of 2 jobs done', '2 of 2 jobs done'])
    follow(node, lambda *_: next(texts), AGAIN, console=Console(file=output, width=160))
    assert '1 of 2 jobs done' in output.getvalue()
    assert '2 of 2 jobs done' in output.getvalue()


def test_status_shows_it_once(computing, run):
    """Counts, the job, what is unknown, and why it waits."""
    node, _ = computing
    output = run('campaign', 'status', node.pk).output
    for part in ('PBE 0/2', 'unknown', 'PBE of LiH (a): running on localhost', 'The daemon is not running. To go on:'):
        assert part in output
    assert output.index('now') < output.index('waits')


def test_status_for_programs(computing, run):
    """Counts and times as numbers, reasons as sentences."""
    node, _ = computing
    content = json.loads(run('campaign', 'status', node.pk, '--format', 'json').output)
    steps = {step['name']: step for step in content['stages'][-1]['steps']}
    assert steps['compute']['counts']['PBE'] == {'done': 0, 'total': 2, 'failed': 0}
    assert content['left'] is None
    assert 'PBE' in content['unknown']
    assert content['jobs'][0]['state'] == 'running'
    assert content['reasons'][0].startswith('The daemon is not running')


def test_status_as_csv(computing, run):
    """A row for each count of each step."""
    rows = run('campaign', 'status', computing[0].pk, '--format', 'csv').output.splitlines()
    assert rows[0] == 'stage,step,state,what,done,total,failed,elapsed,left'
    assert any(row.startswith('cycle 1,compute,running,PBE,0,2,0,') for row in rows)


def test_follow_of_a_finished_campaign(pyscf_code, run):
    """It prints where the campaign came to, and what to do next."""
    node = campaign(pyscf_code, state='finished')
    stage(node, 'cycle001', state='finished')
    output = run('campaign', 'follow', node.pk).output
    assert f'CampaignWorkChain {node.pk} ended with exit status 0' in output
    assert f'next: aiida-qagenai campaign show {node.pk}' in output
