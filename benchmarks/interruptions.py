"""Kill the quickstart again and again, and see whether it ends as it does undisturbed.

``python benchmarks/interruptions.py FOLDER [--kills N] [--seed N] [--quick]`` runs ``examples/quickstart.py`` in a
fresh profile to its end, then in another one where every process of it (the command, the daemon, its workers and the
jobs) gets SIGKILL after a random time, and the command is given again. One JSON line per figure. ``--quick`` kills
twice. A run that FOLDER has the end of is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import psutil
from figures import figure

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

SUMMARY = """
import json
from collections import Counter
from aiida import load_profile, orm
load_profile()
from aiida_qagenai.queries.campaigns import find_campaign
from aiida_qagenai.queries.candidates import candidates
table = candidates({label!r})
levels = [name for name in table.columns if name.startswith('formation_') and name != 'formation_scheme']
computed = table[table[levels].notna().any(axis=1)]
energies = {{row['name']: {{name: row[name] for name in levels if row[name] == row[name]}} for row in
            computed.to_dict('records')}}
jobs = [node for (node,) in orm.QueryBuilder().append(orm.CalcJobNode).all()]
done = [node for node in jobs if node.is_finished_ok and node.base.caching.get_cache_source() is None]
hashes = Counter(node.base.caching.compute_hash() for node in done)
print('SUMMARY' + json.dumps({{
    'exit_status': [orm.load_node(pk).exit_status for pk in find_campaign({label!r}).processes],
    'selected': sorted(table[table['selected'].fillna(False).astype(bool)]['name']),
    'crystals': {{row['name']: row['fingerprint'] for row in computed.to_dict('records')}},
    'energies': energies,
    'jobs': len(jobs),
    'finished': len(done),
    'twice': sum(count - 1 for count in hashes.values()),
}}, default=str))
"""


@dataclasses.dataclass(frozen=True)
class Profile:
    """A fresh profile in a folder, driven through the commands of a user.

    :param folder: of the profile, the jobs and the report.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of its processes."""
        paths = os.pathsep.join([str(BIN), os.environ['PATH']])
        return {**os.environ, 'AIIDA_PATH': str(self.folder), 'PATH': paths}

    def setup(self) -> None:
        """Create the profile and its codes."""
        self.folder.mkdir(parents=True)
        self.call('aiida-qagenai', 'setup')

    def call(self, *command: str) -> str:
        """Run a command to its end and return its output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f'{" ".join(command)[:200]} failed: {done.stdout[-2000:]}{done.stderr[-4000:]}')
        return done.stdout

    def run(self, question: str, seconds: float | None = None) -> bool:
        """Run the quickstart, and kill all its processes after a time; return whether it had ended before.

        :raises SystemExit: if it ends with an error.
        """
        command = ['verdi', 'run', str(ROOT / 'examples' / 'quickstart.py'), '--question', question]
        with (self.folder / 'quickstart.log').open('a', encoding='utf-8') as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                process.wait()
                return False
        if status:
            text = (self.folder / 'quickstart.log').read_text(encoding='utf-8')
            raise SystemExit(f'the quickstart ended with status {status}: {text[-4000:]}')
        return True

    def processes(self) -> list[psutil.Process]:
        """Return every process of the profile: the command, the daemon, its workers, its broker and the jobs."""
        found = []
        for process in psutil.process_iter(['environ', 'cwd']):
            places = ((process.info['environ'] or {}).get('AIIDA_PATH', ''), process.info['cwd'] or '')
            if process.pid != os.getpid() and any(Path(place).is_relative_to(self.folder) for place in places if place):
                found.append(process)
        return found

    def kill(self) -> None:
        """Send SIGKILL to every process until none is left: one that starts while others end is found the next time."""
        while processes := self.processes():
            for process in processes:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(processes, timeout=10)

    def summary(self, label: str) -> dict[str, t.Any]:
        """Return what a campaign came to."""
        text = self.call(sys.executable, '-W', 'ignore', '-c', SUMMARY.format(label=label))
        return t.cast('dict[str, t.Any]', json.loads(text.rpartition('SUMMARY')[2]))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='of the profiles, outside of which nothing is written')
    parser.add_argument('--kills', type=int, default=10, help='how often all processes are killed')
    parser.add_argument('--interval', type=float, default=75.0, help='between two of them on average, s')
    parser.add_argument('--seed', type=int, default=1, help='of the moments')
    parser.add_argument('--question', default='oxide', help='that the quickstart asks')
    parser.add_argument('--label', default='quickstart', help='of the campaign of that question')
    parser.add_argument('--quick', action='store_true', help='two kills')
    arguments = parser.parse_args()
    kills, folder = 2 if arguments.quick else arguments.kills, arguments.folder.resolve()
    generator = random.Random(arguments.seed)
    moments = [generator.uniform(0.05, 1.95) * arguments.interval for _ in range(kills)]
    reference = finish(folder / f'undisturbed-{arguments.question}', arguments.question, arguments.label)
    found = finish(
        folder / f'killed-{arguments.question}-{arguments.seed}', arguments.question, arguments.label, moments
    )
    compare(found, reference)


def finish(folder: Path, question: str, label: str, moments: t.Sequence[float] = ()) -> dict[str, t.Any]:
    """Return what a run came to, its wall time (s) and the number of kills; one that has ended is not run again.

    :param folder: of its profile.
    :param moments: seconds after which all processes are killed, each from the last start.
    """
    stored, profile, kills = folder.with_suffix('.json'), Profile(folder), 0
    if not stored.exists():
        profile.setup()
        start = time.perf_counter()
        for seconds in moments:
            if profile.run(question, seconds):
                break
            kills += 1
            print(f'{time.perf_counter() - start:.0f} s: kill {kills}', file=sys.stderr, flush=True)
        profile.run(question)
        found = {'kills': kills, 'wall': time.perf_counter() - start, **profile.summary(label)}
        stored.write_text(json.dumps(found, indent=1), encoding='utf-8')
    return t.cast('dict[str, t.Any]', json.loads(stored.read_text(encoding='utf-8')))


def compare(found: dict[str, t.Any], reference: dict[str, t.Any]) -> None:
    """Print how an interrupted run differs from an undisturbed one."""
    figure('interruptions-kills', found['kills'], 'kills')
    same = [found[name] == reference[name] for name in ('selected', 'crystals')]
    figure('interruptions-same-candidates', float(all(same)), 'share')
    pairs = [
        (energy, reference['energies'].get(name, {}).get(level))
        for name, levels in found['energies'].items()
        for level, energy in levels.items()
    ]
    missing = sum(len(levels) for levels in reference['energies'].values()) - sum(b is not None for _, b in pairs)
    figure('interruptions-energies', len(pairs), 'energies', 'undisturbed', len(pairs) + missing)
    differences = [abs(a - b) for a, b in pairs if b is not None]
    figure('interruptions-largest-difference', max(differences, default=None), 'eV/atom')
    figure('interruptions-computed-twice', found['twice'], 'jobs', 'undisturbed', reference['twice'])
    figure('interruptions-jobs', found['jobs'], 'jobs', 'undisturbed', reference['jobs'])
    figure('interruptions-finished-jobs', found['finished'], 'jobs', 'undisturbed', reference['finished'])
    figure('interruptions-wall', round(found['wall']), 's', 'undisturbed', round(reference['wall']))


if __name__ == '__main__':
    main()
