"""What needs a daemon of its own: its crashes, and work chains that send messages to their children."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from aiida_qagenai.common.errors import DaemonError
from aiida_qagenai.engine import daemon

START = """
from aiida.engine import submit
from aiida.workflows.arithmetic.multiply_add import MultiplyAddWorkChain
from aiida_qagenai.engine.daemon import ensure_daemon
ensure_daemon()
code = orm.InstalledCode(
    label='add',
    computer=orm.load_computer('localhost'),
    filepath_executable='/bin/bash',
    default_calc_job_plugin='core.arithmetic.add',
    prepend_text='until test -e {signal}; do sleep 0.1; done',
).store()
node = submit(MultiplyAddWorkChain, x=orm.Int(2), y=orm.Int(3), z=orm.Int(4), code=code)
print(json.dumps(node.pk))
"""
CALCULATES = """
print(json.dumps(orm.QueryBuilder().append(orm.CalcJobNode).count() == 1))
"""
REVIVE = """
from aiida_qagenai.engine.daemon import restart_processes
print(json.dumps(restart_processes(orm.load_node({pk}))))
"""
FINISHED = """
print(json.dumps(orm.load_node({pk}).is_terminated))
"""
RESULT = """
node = orm.load_node({pk})
calculations = [child.process_label for child in node.called]
print(json.dumps([node.outputs.result.value, sorted(calculations)]))
"""


SLOW_BROKER = """
import signal
import sys
import time

install = signal.signal


def install_slowly(*arguments):
    time.sleep(2)
    return install(*arguments)


if 'broker' in sys.orig_argv:
    signal.signal = install_slowly
"""


@pytest.fixture(scope='module')
def prepared(new_machine):
    """Return a machine that several tests share."""
    return new_machine('prepared')


@pytest.fixture
def machine(prepared):
    """Return a machine without a daemon."""
    environment = dict(prepared.environment)
    yield prepared
    prepared.kill()
    prepared.environment = environment


@pytest.mark.slow
def test_processes_go_on_after_everything_was_killed(new_machine, tmp_path):
    """Daemon, worker and broker die, and one process has lost its task; the work chain ends with one calculation.

    The broker takes its time between saying where it is and being there, so that messages to it wait.
    """
    (tmp_path / 'sitecustomize.py').write_text(SLOW_BROKER)
    machine = new_machine('daemon', PYTHONPATH=str(tmp_path))
    signal = machine.folder / 'go'
    pk = machine.query(START.format(signal=signal))
    machine.wait_for(CALCULATES, timeout=300)
    assert pk in machine.query(TASKS)
    tasks = sorted(Path(machine.folder).glob('.aiida/broker/*/storage/tasks/processing/*.json'))
    assert tasks, 'to look at the tasks of a broker has taken them from their workers'
    machine.crash()
    tasks[-1].unlink()
    assert machine.query(REVIVE.format(pk=pk)) is True
    signal.touch()
    machine.wait_for(FINISHED.format(pk=pk), timeout=300)
    assert machine.query(RESULT.format(pk=pk)) == [10, ['ArithmeticAddCalculation', 'multiply']]


def test_a_running_daemon_is_left_alone(machine):
    """A second start changes nothing."""
    start = 'from aiida_qagenai.engine.daemon import ensure_daemon\nprint(json.dumps(ensure_daemon()))'
    assert machine.query(start) is True
    assert machine.query(start) is False


@pytest.mark.slow
def test_the_environment_need_not_be_activated(machine):
    """The daemon starts also where no `verdi` is on the path."""
    machine.environment['PATH'] = os.defpath
    assert machine.query('from aiida_qagenai.engine.daemon import *\nprint(json.dumps(ensure_daemon()))') is True


def test_a_daemon_without_work_is_stopped(machine):
    """And a second stop has nothing to do."""
    stop = 'from aiida_qagenai.engine.daemon import ensure_daemon, stop_daemon\n'
    assert machine.query(stop + 'ensure_daemon()\nprint(json.dumps(stop_daemon()))') is True
    psutil.wait_procs(machine.processes(), timeout=20)
    assert not machine.processes()


TASKS = """
from aiida_qagenai.engine.daemon import broker_tasks
print(json.dumps(sorted(broker_tasks())))
"""


COMPOSITE = """
from aiida.engine import submit
from aiida_qagenai.workchains.energy.composite import CompositeWorkChain
from aiida_qagenai.engine.daemon import ensure_daemon
ensure_daemon()
crystal = orm.StructureData(cell=[[0, 2, 2], [2, 0, 2], [2, 2, 0]])
crystal.append_atom(symbols='Li', position=(0, 0, 0))
crystal.append_atom(symbols='H', position=(2, 2, 2))
meshes = {{'meshes': [{{'fixed': [1, 1, 1]}}, {{'fixed': [2, 1, 1]}}], 'bases': ['gth-szv']}}
coupled_cluster = {{'basis': 'gth-szv', 'mesh': {{'fixed': [1, 1, 1]}}}}
builder = CompositeWorkChain.get_builder_from_protocol(
    orm.load_code('pyscf@localhost'),
    crystal,
    protocol='pipeline',
    overrides={{'composite': {{'hartree_fock': meshes, 'coupled_cluster': coupled_cluster}}}},
    # Hartree-Fock on the denser mesh ends without results; CCSD(T) does not end in the time of the test.
    options={{
        'resources': {{'num_machines': 1, 'num_mpiprocs_per_machine': 1}},
        'prepend_text': 'if grep -q "method.: .HF" script.py; then exit 1; fi; touch {running}; sleep 900',
    }},
)
print(json.dumps(submit(builder).pk))
"""
STATES = """
node = orm.load_node({pk})
states = {{child.process_state.value for child in node.called_descendants}}
print(json.dumps([node.exit_status, node.exit_message, sorted(states)]))
"""


@pytest.mark.slow
def test_a_composite_ends_with_its_first_failure(new_machine):
    """The calculation that still runs is killed, and its job with it."""
    machine = new_machine('composite')
    running = machine.folder / 'running'
    pk = machine.query(COMPOSITE.format(running=running))
    machine.wait_for(FINISHED.format(pk=pk), timeout=300)
    assert running.exists()
    status, message, states = machine.query(STATES.format(pk=pk))
    assert status == 500 and 'k2x1x1' in message
    assert states == ['finished', 'killed']
    assert not [process for process in psutil.process_iter(['cmdline']) if process.info['cmdline'] == ['sleep', '900']]


def test_a_broker_that_does_not_start_is_an_error_in_one_line(monkeypatch, tmp_path):
    """On a machine that is too busy the command can be given again; nobody needs a traceback."""
    files = SimpleNamespace(status_file=tmp_path / 'status', log_file=tmp_path / 'broker.log')
    broker = object.__new__(daemon.ZeromqBroker)
    monkeypatch.setattr(daemon, 'get_manager', lambda: SimpleNamespace(get_broker=lambda: broker))
    monkeypatch.setattr(daemon, 'broker_files', lambda: files)
    monkeypatch.setattr(daemon, 'TIMEOUT', 0)
    with pytest.raises(DaemonError, match='give the command again when this machine is less busy'):
        daemon.wait_for_broker()
    files.status_file.touch()
    daemon.wait_for_broker()
