"""Time to write and to open the page on a large campaign, how much it weighs, and what looking at the campaign takes.

``python benchmarks/report.py [--candidates N] [--quick]`` stores a made-up campaign of one cycle in a throw-away SQLite
profile, 300 of its candidates with energies at all four rungs, writes its page, and opens it in Chromium where that is
installed. Then it runs the commands `report`, `campaign status` and `campaign show` as a user would and measures their
time, with the start of Python, and their memory. One JSON line per figure. Storing 100,000 candidates takes some
minutes; ``--quick`` stores 2,000. ``--profile NAME`` takes a profile that exists instead, stores the campaign there and
leaves it, or measures the one that it holds from before. The figures of 100,000 candidates are in ``report.jsonl``.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
import warnings
from pathlib import Path

from figures import figure
from provenance import temporary_profile
from provenance_scale import finish, store_cycle

COMPUTED = 300
"""Candidates with energies."""

COMMANDS = {
    'command-report': ('report', 'large', '--output', 'again.html'),
    'command-status': ('campaign', 'status', 'large'),
    'command-show': ('campaign', 'show', 'large'),
}
"""Figure → command that looks at the campaign."""

MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Script in between: what a process has grown to counts as the memory of the commands that it starts."""

OPENING, WEIGHT = 2.0, 5.0
"""Largest time to open a page (s) and size (MB) that we allow ourselves."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--candidates', type=int, default=100_000, help='candidates of the campaign')
    parser.add_argument('--quick', action='store_true', help='2,000 candidates, within a minute')
    parser.add_argument('--profile', help='profile that keeps the campaign')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    n = 2000 if arguments.quick else arguments.candidates
    with existing_profile(arguments.profile) if arguments.profile else temporary_profile():
        from aiida import orm

        if not orm.QueryBuilder().append(orm.Group, filters={'label': 'qagenai/campaign/large'}).count():
            store_campaign(n)
        measure(n, arguments.profile or 'benchmark')


def measure(n: int, profile: str) -> None:
    """Write the page, open it, and look at the campaign."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'report.html'
        from aiida_qagenai.report.figures import FIGURES
        from aiida_qagenai.report.page import write_report

        write_report('large', path)  # what is imported once is not of the page
        start, cpu = time.perf_counter(), time.process_time()
        write_report('large', path)
        figure(f'report-write-{n}', round(time.perf_counter() - start, 2), 's')
        figure(f'report-write-{n}-cpu', round(time.process_time() - cpu, 2), 's')
        figure(f'report-weight-{n}', round(path.stat().st_size / 1e6, 3), 'MB', 'allowed', WEIGHT)
        assert path.read_text().count('<figure') == len(FIGURES) - 1, 'all but the costs: no job has run'
        if shutil.which('chromium'):
            figure(f'report-open-{n}', open_page(path), 's', 'allowed', OPENING)
        for name, words in COMMANDS.items():
            measure_command(f'{name}-{n}', ('--profile', profile, *words), Path(folder))


@contextlib.contextmanager
def existing_profile(name: str) -> t.Iterator[None]:
    """Load a profile of the user."""
    from aiida import load_profile

    load_profile(name)
    yield


def measure_command(name: str, words: tuple[str, ...], folder: Path) -> None:
    """Print wall time, processor time and largest memory of one command."""
    program = shutil.which('aiida-qagenai') or 'aiida-qagenai'
    command = [sys.executable, '-c', MEASURE, program, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    wall, cpu, memory = json.loads(done.stdout)
    figure(name, round(wall, 2), 's')
    figure(f'{name}-cpu', round(cpu, 2), 's')
    figure(f'{name}-memory', round(memory / 1024), 'MiB')


def store_campaign(n: int) -> None:
    """Store a campaign of one cycle: candidates, predictions, assessments, energies of the first, and a ledger."""
    import numpy as np
    from aiida import orm
    from aiida.common.links import LinkType

    from aiida_qagenai.engine.bulk import store_outputs

    campaign = orm.WorkChainNode()
    campaign.process_type = 'aiida.workflows:qagenai.campaign'
    settings = {'elements': orm.List(['Ba', 'O', 'Ti']), 'parameters': orm.Dict({'energy': {'top': 'CCSD(T)'}})}
    for label, node in settings.items():
        campaign.base.links.add_incoming(node.store(), LinkType.INPUT_WORK, label)
    cycle = orm.WorkChainNode()
    cycle.base.links.add_incoming(campaign, LinkType.CALL_WORK, 'cycle001')
    campaign.store()
    cycle.store()
    orm.Group('qagenai/campaign/large').store().add_nodes(campaign)
    store_cycle(n, cycle, selected=COMPUTED, inputs=competing(np))
    process = orm.CalcFunctionNode()
    process.base.links.add_incoming(cycle, LinkType.CALL_CALC, 'energies')
    store_outputs(process.store(), energies(COMPUTED, np.random.default_rng(0)))
    finish(process)
    funnel = {'generated': n, 'within constraints': n // 2, 'new': n // 3, 'stable': n // 10, 'selected': COMPUTED}
    entry = {'cycle': 1, 'funnel': funnel, 'eligible': n // 10, 'selected': COMPUTED, 'oracle_calls': COMPUTED}
    entry |= {'failed': 0, 'energies': {}, 'core_hours': {'pyscf': 100.0, 'ml': 1.0}}
    process = orm.CalcFunctionNode()
    process.base.links.add_incoming(cycle, LinkType.CALL_CALC, 'ledger')
    content = {'budget': COMPUTED, 'spent': COMPUTED, 'core_hours': 101.0, 'seed': {}, 'cycles': [entry]}
    ledger = store_outputs(process.store(), {'result': orm.Dict(content)})['result']
    finish(process)
    for each in (cycle, campaign):
        ledger.base.links.add_incoming(each, LinkType.RETURN, 'state__ledger')
        finish(each)


def competing(np: t.Any) -> dict[str, int]:
    """Return what the candidates are placed against, by pk: a perovskite with predicted energies."""
    from aiida import orm
    from provenance_scale import perovskites

    from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
    from aiida_qagenai.common.fidelity import LADDER
    from aiida_qagenai.data.dataset import DatasetData
    from aiida_qagenai.exchange.dataset import LabelledBatch
    from aiida_qagenai.exchange.structures import StructureBatch

    structures = perovskites(9)[8:]
    batch = LabelledBatch(
        StructureBatch.from_structures(structures, ['000-00000']),
        energies=np.full((1, len(LADDER)), -0.6),
        descriptors=np.full((1, NUM_DESCRIPTORS), np.nan),
        groups=np.array([structures[0].composition.reduced_formula]),
        split=np.zeros(1, dtype=np.int8),
    )
    tags = {level.value: f'made-up:{level.label}' for level in LADDER}
    arrays = orm.ArrayData()
    arrays.set_array('competing_energies', np.full((1, len(LADDER)), -0.6))
    labels = DatasetData(batch, level_tags=tags, formation_scheme='anchored', scientific=False)
    return {'competing': labels.store().pk, 'arrays': arrays.store().pk}


def energies(count: int, rng: t.Any) -> dict[str, t.Any]:
    """Return energies at all rungs of some candidates, near what was predicted for them."""
    from aiida import orm

    from aiida_qagenai.common.fidelity import LADDER
    from aiida_qagenai.data.candidate import CandidateData
    from aiida_qagenai.data.energy import EnergyData

    query = orm.QueryBuilder().append(
        CandidateData,
        filters={'attributes.index': {'<': count}},
        project=['uuid', 'attributes.index', 'attributes.formula', 'attributes.chemical_system'],
        subclassing=False,
    )
    return {
        f'c{index:05d}{level.label}': EnergyData(
            fidelity=level,
            total_energy=-20.0,
            num_atoms=5,
            formation_energy_per_atom=-0.5 - 1e-4 * index + 0.02 * rng.standard_normal(),
            formation_scheme='anchored',
            formula=formula,
            chemical_system=system,
            converged=True,
            protocol='made-up',
            level_tag=f'made-up:{level.label}',
            scientific=False,
            structure_uuid=uuid,
            core_hours=0.1,
        )
        for uuid, index, formula, system in query.all()
        for level in LADDER
    }


def open_page(path: Path) -> float:
    """Return the median time from the start of the navigation to the end of the loading of a page, s."""
    probe = (
        '<script>addEventListener("load",()=>setTimeout(()=>{document.title="opened "+'
        'performance.getEntriesByType("navigation")[0].loadEventEnd},0))</script></head>'
    )
    probed = path.with_name('probed.html')
    probed.write_text(path.read_text().replace('</head>', probe, 1))
    command = ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--timeout=20000', '--dump-dom']
    times = []
    for run in range(3):
        profile = f'--user-data-dir={path.parent / f"profile{run}"}'
        done = subprocess.run([*command, profile, probed.as_uri()], capture_output=True, text=True, check=True)
        found = re.search(r'<title>opened ([\d.]+)', html.unescape(done.stdout))
        assert found, 'the page did not load'
        times.append(float(found[1]) / 1000)
    return round(statistics.median(times), 3)


if __name__ == '__main__':
    main()
