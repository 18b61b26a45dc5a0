"""Time per node of storing outputs and linking inputs in bulk, against the engine's own way in the same run.

``python benchmarks/provenance.py [--quick]`` makes a throw-away SQLite profile in a temporary folder and prints one
JSON line per figure. Times are wall times, because most of the engine's way is waiting for commits. With
``--postgresql``, as root on Debian, the profile is on a throw-away PostgreSQL server instead.

``python benchmarks/provenance.py --campaign LABEL [--profile NAME]`` says instead how much of the wall time of a
finished campaign is not compute, and where it goes.

``--figures NAME …`` measures instead what takes longer (``provenance_scale.py``): ``cycle-100k``, ``search-100k``,
``serve-100k`` and ``export-100k``, a quarter of an hour together (``--candidates N`` takes another size); and with
``--data FOLDER``, which holds tables of structures and three databases, ``import-mp`` and ``merge-databases``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import typing as t
import warnings
from collections.abc import Iterator
from pathlib import Path

SCALE = ('cycle-100k', 'search-100k', 'serve-100k', 'export-100k', 'import-mp', 'merge-databases')


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a quarter of the nodes, within a minute')
    parser.add_argument('--postgresql', action='store_true', help='on a throw-away PostgreSQL server')
    parser.add_argument('--campaign', metavar='LABEL', help='measure the engine overhead of this campaign')
    parser.add_argument('--profile', help='profile with that campaign; the default profile otherwise')
    parser.add_argument('--figures', nargs='+', default=[], choices=sorted(SCALE), metavar='NAME', help='see above')
    parser.add_argument('--candidates', type=int, default=100_000, help='size of the figures called 100k')
    parser.add_argument('--data', type=Path, help='folder with mp/, mpts/ and databases/')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    if arguments.figures:
        from provenance_scale import measure

        size = 2000 if arguments.quick else arguments.candidates
        for item in measure(set(arguments.figures), size, arguments.data, arguments.postgresql):
            print(json.dumps(item), flush=True)
        return
    if arguments.campaign:
        print(json.dumps(engine_overhead(arguments.campaign, arguments.profile)))
        return
    with temporary_profile(arguments.postgresql):
        plain, large = (250, 2500) if arguments.quick else (1000, 10000)
        for figure in (bulk_outputs(plain), bulk_outputs_large(large), bulk_inputs(plain), cached_outputs(plain)):
            print(json.dumps(figure), flush=True)


@contextlib.contextmanager
def temporary_profile(postgresql: bool = False) -> Iterator[None]:
    """Load an empty profile on SQLite, or PostgreSQL, that disappears with its folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.environ['AIIDA_PATH'] = folder
        from aiida.manage.configuration import create_profile, get_config, load_profile, reset_config
        from aiida.manage.configuration.settings import AiiDAConfigDir

        # What was imported before may have looked for the folder already: the user's own is not touched.
        AiiDAConfigDir.set()
        reset_config()
        create_profile(
            get_config(create=True),
            name='benchmark',
            email='benchmark@localhost',
            **(
                stack.enter_context(temporary_postgresql(folder))
                if postgresql
                else {
                    'storage_backend': 'core.sqlite_dos',
                    'storage_config': {'filepath': f'{folder}/storage'},
                }
            ),
        )
        # Without a broker a parent looks at its children once a minute by default.
        get_config().set_option('runner.poll.interval', 1)
        load_profile('benchmark')
        yield


@contextlib.contextmanager
def temporary_postgresql(folder: str) -> Iterator[dict[str, t.Any]]:
    """Start the server of the service tests and yield the storage of a profile on it."""
    sys.path.append(str(Path(__file__).parents[1] / 'tests' / 'services'))
    from stack import Postgresql

    from aiida_qagenai.engine.profile import postgresql_config

    # The server runs as another user, who has to reach its folder.
    Path(folder).chmod(0o755)
    server = Postgresql(Path(folder) / 'postgresql')
    try:
        server.start()
        config = postgresql_config(server.create_database('benchmark'), 'benchmark')
        yield {'storage_backend': 'core.psql_dos', 'storage_config': config}
    finally:
        server.stop()


def backend() -> str:
    """Return the name of the storage of the profile."""
    from aiida.manage import get_manager

    return 'postgresql' if 'Psql' in type(get_manager().get_profile_storage()).__name__ else 'sqlite'


def bulk_outputs(n: int) -> dict[str, t.Any]:
    """Compare ``store_outputs`` with what the engine does for each output."""
    from aiida.common.links import LinkType

    from aiida_qagenai.engine.bulk import store_outputs

    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    for label, node in nodes.items():
        node.base.links.add_incoming(process, LinkType.CREATE, label)
        node.store()
    plain = time.perf_counter() - start
    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    store_outputs(process, nodes)
    return figure(f'bulk-outputs-{backend()}', time.perf_counter() - start, plain, n, f'engine, {n} outputs')


def bulk_outputs_large(n: int) -> dict[str, t.Any]:
    """Compare the time per node of a large batch with the bar of 1 ms."""
    from aiida_qagenai.engine.bulk import store_outputs

    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    store_outputs(process, nodes)
    return figure(
        f'bulk-outputs-{backend()}-large', time.perf_counter() - start, 1e-3 * n, n, f'1 ms per node, {n} outputs'
    )


def bulk_inputs(n: int) -> dict[str, t.Any]:
    """Run one calcfunction on ``n`` input nodes, with and without ``bulk_inputs``."""
    from aiida.engine import calcfunction
    from aiida.orm import Int

    from aiida_qagenai.engine.batch import bulk_inputs as decorate
    from aiida_qagenai.engine.bulk import store_outputs

    # Without annotations: AiiDA would look for `Int` among the names of this module.
    @calcfunction
    def plain_count(**kwargs):  # type: ignore[no-untyped-def]
        return Int(len(kwargs['members']))

    @decorate('members')
    @calcfunction
    def bulk_count(**kwargs):  # type: ignore[no-untyped-def]
        return Int(len(kwargs['members']))

    members = {label.split('__')[1]: node for label, node in store_outputs(running(), predictions(n)).items()}
    times = []
    for function in (plain_count, bulk_count):
        start = time.perf_counter()
        assert function(members=members).value == n
        times.append(time.perf_counter() - start)
    return figure(f'bulk-inputs-{backend()}', times[1], times[0], n, f'engine, {n} inputs')


def cached_outputs(n: int) -> dict[str, t.Any]:
    """Compare ``clone_outputs`` with how AiiDA fills a process that it takes from the cache."""
    from aiida_qagenai.engine.bulk import clone_outputs, store_outputs

    source = running()
    store_outputs(source, predictions(n))
    target = running()
    start = time.perf_counter()
    target._add_outputs_from_cache(source)
    plain = time.perf_counter() - start
    target = running()
    start = time.perf_counter()
    clone_outputs(target, source)
    return figure(f'bulk-clones-{backend()}', time.perf_counter() - start, plain, n, f'engine, {n} cached outputs')


def engine_overhead(label: str, profile: str | None) -> dict[str, t.Any]:
    """Return the share of a campaign's wall time in which no job computed, and where it goes by class of process.

    Of each class: the mean life of a process and what it computed of that, and for how long the campaign waited while
    one of the class was alive (classes overlap: a calculation, its work chain, and the ladder wait together).

    A job computes for the `wall_seconds` (or the timings) it reports, from the moment its files were uploaded; what it
    takes to start Python and import PySCF or torch before the clock runs counts as overhead. Screening, scoring and
    building training sets are functions that run in the daemon's worker: they are told apart from waiting.
    """
    from aiida import load_profile, orm

    load_profile(profile)
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters={'label': label, 'attributes.process_label': 'CampaignWorkChain'})
    campaign = builder.first()[0]
    start, end = campaign.ctime.timestamp(), campaign.mtime.timestamp()
    computed, functions, lives = [], [], {}
    for node in campaign.called_descendants:
        life = (node.ctime.timestamp(), node.mtime.timestamp())
        seconds = None
        if isinstance(node, orm.CalcJobNode):
            seconds = job_seconds(node)
            begin = node.outputs.remote_folder.ctime.timestamp()
            computed.append((begin, min(begin + seconds, life[1])))
        elif isinstance(node, orm.CalcFunctionNode):
            functions.append(life)
        lives.setdefault(node.process_label, []).append((*life, seconds or 0.0))
    wall, compute, busy = end - start, covered(computed), [*computed, *functions]
    return against_bar('engine-overhead', 1 - compute / wall, 'share of the wall time without compute', 0.1) | {
        'wall_seconds': round(wall, 1),
        'compute_seconds': round(compute, 1),
        'compute_core_seconds': round(sum(last - first for first, last in computed), 1),
        'function_seconds': round(covered(busy) - compute, 1),
        'waiting_seconds': round(wall - covered(busy), 1),
        'processes': {
            name: {
                'count': len(entries),
                'mean_seconds': round(sum(last - first for first, last, _ in entries) / len(entries), 2),
                'mean_compute_seconds': round(sum(seconds for *_, seconds in entries) / len(entries), 2),
                'waiting_seconds': round(covered([*busy, *(entry[:2] for entry in entries)]) - covered(busy), 1),
            }
            for name, entries in sorted(lives.items())
        },
    }


def job_seconds(node: t.Any) -> float:
    """Return how long a job says that it computed; nothing if it left no results."""
    if 'results' not in node.outputs or node.base.caching.is_created_from_cache:
        return 0.0
    results = node.outputs.results.get_dict()
    return float(results.get('wall_seconds') or results.get('timings', {}).get('wall_seconds', 0.0))


def covered(intervals: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, reached = 0.0, float('-inf')
    for first, last in sorted(intervals):
        total += max(0.0, last - max(first, reached))
        reached = max(reached, last)
    return total


def running() -> t.Any:
    """Return a calculation that runs."""
    from aiida.orm import CalcFunctionNode

    return CalcFunctionNode().store()


def predictions(n: int, uuids: list[str] | None = None) -> dict[str, t.Any]:
    """Return ``n`` unstored predictions by label, of the candidates with ``uuids`` or of none that exists."""
    from aiida_qagenai.data.prediction import PredictionData

    names = ('pbe', 'scan', 'hse06', 'ccsdt')
    return {
        f'predictions__c{index:05d}': PredictionData(
            candidate_uuid=f'{index:032x}' if uuids is None else uuids[index],
            cycle=1,
            index=index,
            **{f'energy_{name}': -0.5 - 1e-4 * index for name in names},
            **{f'sigma_{name}': 0.02 for name in names},
            divergence_signed=0.01 if uuids is None else index % 89 / 890,
            divergence_sigma=0.02,
            out_of_distribution=False,
            distance_to_training=0.1,
        )
        for index in range(n)
    }


def figure(name: str, seconds: float, reference_seconds: float, n: int, reference: str) -> dict[str, t.Any]:
    """Return a figure in ms per node; the ratio says how many times faster we are."""
    return {
        'name': name,
        'value': round(1e3 * seconds / n, 4),
        'unit': 'ms/node',
        'reference': reference,
        'reference_value': round(1e3 * reference_seconds / n, 4),
        'ratio': round(reference_seconds / seconds, 2),
    }


def against_bar(name: str, value: float, unit: str, bar: float, *, more_is_better: bool = False) -> dict[str, t.Any]:
    """Return a figure compared with a bar; the ratio says how many times better than the bar it is."""
    return {
        'name': name,
        'value': round(value, 3),
        'unit': unit,
        'reference': 'bar',
        'reference_value': bar,
        'ratio': round(value / bar if more_is_better else bar / value, 2),
    }


if __name__ == '__main__':
    main()
