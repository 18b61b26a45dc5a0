"""Time per node of storing outputs and linking inputs in bulk, against the engine's own way in the same run.

``python benchmarks/provenance.py [--quick]`` makes a throw-away SQLite profile in a temporary folder and prints one
JSON line per figure. Times are wall times, because most of the engine's way is waiting for commits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
import typing as t
import warnings
from collections.abc import Iterator


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a quarter of the nodes, within a minute')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    with temporary_profile():
        plain, large = (250, 2500) if arguments.quick else (1000, 10000)
        for figure in (bulk_outputs(plain), bulk_outputs_large(large), bulk_inputs(plain), cached_outputs(plain)):
            print(json.dumps(figure), flush=True)


@contextlib.contextmanager
def temporary_profile() -> Iterator[None]:
    """Load an empty profile on SQLite that disappears with its folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ['AIIDA_PATH'] = folder
        from aiida.manage.configuration import create_profile, get_config, load_profile, reset_config

        reset_config()
        create_profile(
            get_config(create=True),
            name='benchmark',
            email='benchmark@localhost',
            storage_backend='core.sqlite_dos',
            storage_config={'filepath': f'{folder}/storage'},
        )
        load_profile('benchmark')
        yield


def bulk_outputs(n: int) -> dict[str, t.Any]:
    """Compare ``store_outputs`` with what the engine does for each output."""
    from aiida.common.links import LinkType

    from aiida_qagenai.provenance.bulk import store_outputs

    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    for label, node in nodes.items():
        node.base.links.add_incoming(process, LinkType.CREATE, label)
        node.store()
    plain = time.perf_counter() - start
    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    store_outputs(process, nodes)
    return figure('bulk-outputs-sqlite', time.perf_counter() - start, plain, n, f'engine, {n} outputs')


def bulk_outputs_large(n: int) -> dict[str, t.Any]:
    """Compare the time per node of a large batch with the bar of 1 ms."""
    from aiida_qagenai.provenance.bulk import store_outputs

    process, nodes = running(), predictions(n)
    start = time.perf_counter()
    store_outputs(process, nodes)
    return figure('bulk-outputs-sqlite-large', time.perf_counter() - start, 1e-3 * n, n, f'1 ms per node, {n} outputs')


def bulk_inputs(n: int) -> dict[str, t.Any]:
    """Run one calcfunction on ``n`` input nodes, with and without ``bulk_inputs``."""
    from aiida.engine import calcfunction
    from aiida.orm import Int

    from aiida_qagenai.provenance.batch import bulk_inputs as decorate
    from aiida_qagenai.provenance.bulk import store_outputs

    @calcfunction
    def plain_count(**kwargs: t.Any) -> Int:
        return Int(len(kwargs['members']))

    @decorate('members')
    @calcfunction
    def bulk_count(**kwargs: t.Any) -> Int:
        return Int(len(kwargs['members']))

    members = {label.split('__')[1]: node for label, node in store_outputs(running(), predictions(n)).items()}
    times = []
    for function in (plain_count, bulk_count):
        start = time.perf_counter()
        assert function(members=members).value == n
        times.append(time.perf_counter() - start)
    return figure('bulk-inputs-sqlite', times[1], times[0], n, f'engine, {n} inputs')


def cached_outputs(n: int) -> dict[str, t.Any]:
    """Compare ``clone_outputs`` with how AiiDA fills a process that it takes from the cache."""
    from aiida_qagenai.provenance.bulk import clone_outputs, store_outputs

    source = running()
    store_outputs(source, predictions(n))
    target = running()
    start = time.perf_counter()
    target._add_outputs_from_cache(source)
    plain = time.perf_counter() - start
    target = running()
    start = time.perf_counter()
    clone_outputs(target, source)
    return figure('bulk-clones-sqlite', time.perf_counter() - start, plain, n, f'engine, {n} cached outputs')


def running() -> t.Any:
    """Return a calculation that runs."""
    from aiida.orm import CalcFunctionNode

    return CalcFunctionNode().store()


def predictions(n: int) -> dict[str, t.Any]:
    """Return ``n`` unstored predictions by label."""
    from aiida_qagenai.data.prediction import PredictionData

    names = ('pbe', 'scan', 'hse06', 'ccsdt')
    return {
        f'predictions__c{index:05d}': PredictionData(
            candidate_uuid=f'{index:032x}',
            cycle=1,
            index=index,
            **{f'energy_{name}': -0.5 - 1e-4 * index for name in names},
            **{f'sigma_{name}': 0.02 for name in names},
            divergence_signed=0.01,
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


if __name__ == '__main__':
    main()
