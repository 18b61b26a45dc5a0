"""Faults while real jobs run on SLURM over SSH: each ends with the nodes of an undisturbed run, none twice.

The processes are the smallest that are still real: the four isolated-atom energies of Li–H at PBE and SCAN. What AiiDA
does not survive by itself is brought back by what `aiida-qagenai campaign continue` does.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.services

START = """
from aiida.engine import submit
from aiida_qagenai.engine.daemon import ensure_daemon
from aiida_qagenai.workchains.energy.references import ReferenceWorkChain
builder = ReferenceWorkChain.get_builder_from_protocol(
    code=orm.load_code('pyscf@cluster'),
    elements=['Li', 'H'],
    fidelities=['PBE', 'SCAN'],
    protocol='pipeline',
    options={options},
)
ensure_daemon()
print(json.dumps(submit(builder).pk))
"""
OPTIONS = {
    'resources': {'num_machines': 1, 'num_mpiprocs_per_machine': 1},
    'max_wallclock_seconds': 600,
    # The jobs last long enough for something to happen to them.
    'prepend_text': 'sleep 8',
}

STATE = """
import collections
node = orm.load_node({pk})
calls = node.called_descendants
print(json.dumps({{
    'ended': node.is_terminated,
    'ok': node.is_finished_ok,
    'message': node.exit_message or node.process_status or str(node.exception),
    'processes': collections.Counter(child.process_label for child in calls),
    'open': [child.pk for child in calls if not child.is_sealed],
    'jobs': [child.get_job_id() for child in calls if isinstance(child, orm.CalcJobNode) and child.get_job_id()],
    'paused': [child.pk for child in calls if child.paused],
    'energies': sorted(
        [energy.base.attributes.get('fidelity'), energy.base.attributes.get('total_energy')]
        for child in calls
        if child.process_label == 'assemble_energy' and child.is_finished_ok
        for energy in child.base.links.get_outgoing(orm.Data).all_nodes()
    ),
}}))
"""
REVIVE = """
from aiida_qagenai.engine.daemon import restart_processes
print(json.dumps(restart_processes(orm.load_node({pk}))))
"""
UNDISTURBED = {
    'EnergyWorkChain': 4,
    'PyscfCellBaseWorkChain': 4,
    'PyscfCellCalculation': 4,
    'assemble_energy': 4,
}


class Run:
    """Four energies under way."""

    def __init__(self, site) -> None:
        self.site = site
        site.run('verdi', 'config', 'unset', 'caching.enabled_for')
        self.pk = site.query(START.format(options=OPTIONS))

    def jobs(self) -> list[str]:
        """Return the numbers of the jobs that the scheduler was given so far."""
        return self.site.ask(self.submitted, "a->>'job_id'")

    @property
    def submitted(self) -> str:
        """Return the condition that a calculation is with the scheduler."""
        return f"id > {self.pk} AND a->>'job_id' IS NOT NULL"

    def restart_processes(self) -> None:
        """Do what `aiida-qagenai campaign continue` does."""
        self.site.query(REVIVE.format(pk=self.pk))

    def report(self) -> str:
        """Return what the processes have reported."""
        return self.site.run('verdi', 'process', 'report', str(self.pk))

    def check(self, **processes: int) -> None:
        """Check that it ends as the undisturbed run does, but for the numbers of processes in ``processes``."""
        self.site.wait_for_end(self.pk)
        state = self.site.query(STATE.format(pk=self.pk))
        assert state['ok'], state['message']
        assert state['processes'] == {**UNDISTURBED, **processes}
        assert not state['open']
        assert not state['paused']
        assert [fidelity for fidelity, _ in state['energies']] == ['PBE', 'PBE', 'SCAN', 'SCAN']
        assert len({energy for _, energy in state['energies']}) == 4


@pytest.fixture(scope='module')
def site(new_site):
    """Return a profile for all faults of this module."""
    return new_site('faults')


@pytest.fixture
def run(site):
    """Return four energies whose first jobs are with the scheduler."""
    run = Run(site)
    site.wait_until(run.submitted, count=2)
    return run


def test_daemon_killed(run, site):
    """Daemon and workers die; the jobs on the cluster go on and are found again under their numbers."""
    before = run.jobs()
    site.crash()
    run.restart_processes()
    run.check()
    assert set(before) <= set(run.jobs())


def test_workers_killed(run, site):
    """Both workers die; the daemon replaces them and nobody has to do anything."""
    site.kill_workers()
    run.check()


def test_postgresql_restarted(run, services):
    """The workers lose their sessions for good, end, and are replaced until one can work; nobody has to do anything."""
    services['postgresql'].restart(pause=10)
    run.check()


def test_sshd_down(run, services):
    """Down for longer than AiiDA tries: the jobs are paused, and played."""
    services['sshd'].stop()
    run.site.wait_until(f"id > {run.pk} AND a->>'paused' = 'true'")
    services['sshd'].start()
    run.restart_processes()
    run.check()


def test_job_cancelled(run, services):
    """The job that runs and those that wait are cancelled; each is computed again, once."""
    slurm = services['slurm']
    slurm.freeze()
    cancelled = slurm.jobs('RUNNING,PENDING')
    assert cancelled
    slurm.run('scancel', *cancelled)
    again = UNDISTURBED['PyscfCellCalculation'] + len(cancelled)
    run.check(PyscfCellCalculation=again)


def test_out_of_walltime(run, services):
    """SLURM ends the first job at its limit; the calculation is run again with more time."""
    slurm = services['slurm']
    job, *others = run.site.wait_for_truth(slurm.freeze)
    slurm.thaw(*others)
    slurm.overrun(job)
    run.check(PyscfCellCalculation=UNDISTURBED['PyscfCellCalculation'] + 1)
    assert 'Action taken: restart from scratch with 1200 s' in run.report()


def test_rabbitmq_restarted(run, services):
    """All tasks are handed out again while the workers that have them run on; each process is run by one."""
    before = run.site.log().count('standing by')
    services['rabbitmq'].restart()
    run.check()
    assert run.site.log().count('standing by') > before


def test_rabbitmq_down(site, services):
    """Nothing can be sent while processes are being submitted; it is sent when the broker is back."""
    run = Run(site)
    site.wait_until(f"id > {run.pk} AND a->>'process_label' = 'EnergyWorkChain'")
    services['rabbitmq'].restart(pause=20)
    run.check()
