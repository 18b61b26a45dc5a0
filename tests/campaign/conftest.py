"""A real campaign, killed in the middle of its second cycle and taken up again; its archive feeds the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BIN = Path(sys.executable).parent
SETTINGS = {
    'budget': 20,
    'seed_set.num_structures': 8,
    'seed_set.max_atoms': 2,
    'seed_set.labels': '{SCAN: 3, HSE06: 3, CCSD(T): 2}',
    'generate.num_candidates': 16,
    'generate.max_atoms': 2,
    'generate.neutral_fraction': 0.75,
    'generate.steps': 20,
    'screen.max_e_above_hull': 50,
    'select.num_clusters': 3,
    'learn.descriptor.initial_steps': 40,
    'learn.generator.initial_steps': 300,
    'learn.validator.initial_steps': 40,
    'learn.validator.tune_steps': 20,
    'learn.generator_every': 2,
    'learn.generator.tune_steps': 20,
    'learn.descriptor.tune_steps': 20,
}


class Machine:
    """A profile of its own, driven through the commands that a user would type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            'AIIDA_PATH': str(folder),
            'PATH': f'{BIN}{os.pathsep}{os.environ["PATH"]}',
            'OMP_NUM_THREADS': '1',
        }

    def run(self, *command: str, timeout: float = 900) -> str:
        """Run a command and return its output; fail the test with that output if the command fails."""
        result = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, timeout=timeout, cwd=self.folder, check=False
        )
        assert result.returncode == 0, f'{" ".join(command)}\n{result.stdout}\n{result.stderr}'
        return result.stdout

    def query(self, code: str) -> object:
        """Return what a script prints as JSON from within the profile."""
        prelude = 'import json\nfrom aiida import orm, load_profile\nload_profile()\n'
        return json.loads(self.run(sys.executable, '-c', prelude + code))

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the daemon and its broker, not the calculations, which a crash would leave too."""
        found = []
        for process in psutil.process_iter(['cmdline', 'environ']):
            line = ' '.join(process.info['cmdline'] or ())
            # AiiDA sets the variable to its own folder within.
            mine = (process.info['environ'] or {}).get('AIIDA_PATH', '').startswith(str(self.folder))
            if mine and ('daemon' in line or 'circus' in line):
                found.append(process)
        return found

    def crash(self) -> None:
        """Kill the daemon, its workers and its broker, as a power failure would."""
        assert self.processes(), 'there is no daemon to kill'
        self.kill()

    def kill(self) -> None:
        """Kill what is left."""
        for process in self.processes():
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(self.processes(), timeout=10)

    def wait_for(self, code: str, timeout: float = 600) -> None:
        """Wait until a script prints `true`."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.query(code) is True:
                return
            time.sleep(1)
        pytest.fail(f'not reached within {timeout} s:\n{code}\n{self.run("verdi", "process", "list", "-a")}')


MIDDLE_OF_CYCLE_2 = """
query = orm.QueryBuilder()
query.append(orm.WorkChainNode, filters={'attributes.process_label': 'CycleWorkChain'}, tag='cycle', project='id')
query.append(orm.WorkChainNode, with_incoming='cycle', filters={'attributes.process_label': 'LadderWorkChain'}, tag='l')
query.append(orm.WorkChainNode, with_incoming='l', filters={'attributes.process_state': 'finished'}, project='id')
print(json.dumps(len({row[0] for row in query.all()}) == 2))
"""


@pytest.fixture(scope='session')
def campaign_archive(tmp_path_factory) -> tuple[Path, str]:
    """Return the archive of a campaign that was killed in its second cycle and continued, and what was printed."""
    machine = Machine(tmp_path_factory.mktemp('machine'))
    try:
        machine.run('aiida-qagenai', 'setup')
        options = [part for name, value in SETTINGS.items() for part in ('--set', f'{name}={value}')]
        arguments = ['--protocol', 'quickstart', '--label', 'tested', '--no-follow', *options]
        pk = machine.run('aiida-qagenai', 'campaign', 'run', 'Li', 'H', *arguments).split()[1]
        machine.wait_for(MIDDLE_OF_CYCLE_2)
        machine.crash()
        printed = machine.run('aiida-qagenai', 'campaign', 'continue', pk)
        archive = machine.folder / 'campaign.aiida'
        machine.run('aiida-qagenai', 'export', pk, str(archive))
    finally:
        subprocess.run([str(BIN / 'verdi'), 'daemon', 'stop'], env=machine.environment, check=False)
        machine.kill()
    return archive, printed
