"""Whether structures that were ordered keep what was ordered when they relax, and whether they are stable.

The samples of a target, with guidance and without (as in ``guidance_parts.targets``), go through the validation of
ordered crystals: symmetry, distances, relaxation by CHGNet, duplicates and the hull of the package. `kept-ARM-NAME` is
the share of the distinct relaxed crystals that satisfy the constraints, beside the share of all samples that did
before; `hull-ARM-NAME` the median distance to the hull of those that satisfy them (eV/atom), beside that of all
distinct ones. CHGNet is 0.025 eV/atom off on known crystals. Runs are kept in `stability.json`, with a list for each
crystal: satisfied before and after, distance to the hull, whether it is a duplicate.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import typing as t
from collections.abc import Sequence
from pathlib import Path

from figures import figure

from aiida_qagenai.api import validate
from aiida_qagenai.exchange.structures import StructureBatch
from guidance_parts import targets
from guidance_parts.runs import complete

RECORD = Path(__file__).with_name('stability.json')
ARMS = ('unguided', 'guided')


def benchmark(run: targets.Runner, names: Sequence[str], seeds: int, *, quick: bool, again: bool = False) -> None:
    """Print the figures of all runs, after those of the targets and seeds that are not stored but with ``quick``.

    :param again: whether the stored runs of these targets and seeds are measured anew.
    """
    wanted = [] if quick else itertools.product(names, range(seeds), ARMS)
    plan = [{'target': name, 'arm': arm, 'seed': seed} for name, seed, arm in wanted]
    show(complete(RECORD, plan, functools.partial(measure, run), again=again))


def measure(run: targets.Runner, target: str, arm: str, seed: int) -> dict[str, t.Any]:
    """Sample, validate and return what became of each crystal: satisfied before, after, distance, duplicate."""
    wanted = targets.TARGETS[target]
    geometry = {'constraints': wanted.constraints, **targets.ARMS[arm]}
    run('generate', targets.configuration(wanted, geometry, seed))
    structures = StructureBatch.load('candidates.npz').structures()
    crystals = [
        [
            each.satisfied_before,
            each.satisfied,
            each.e_above_hull and round(each.e_above_hull, 4),
            bool(each.duplicate_of),
        ]
        for _, each in validate(structures, list(wanted.constraints))
    ]
    requested = targets.PER_CONTENT * len(wanted.contents)
    return {'target': target, 'arm': arm, 'seed': seed, 'requested': requested, 'crystals': crystals}


def show(runs: list[dict[str, t.Any]]) -> None:
    """Print the figures of all runs."""
    for name, arm in dict.fromkeys((run['target'], run['arm']) for run in runs):
        mine = [run for run in runs if (run['target'], run['arm']) == (name, arm)]
        crystals = [crystal for run in mine for crystal in run['crystals']]
        requested = sum(run['requested'] for run in mine)
        placed = [crystal for crystal in crystals if crystal[2] is not None and not crystal[3]]
        kept = [crystal for crystal in placed if crystal[1]]
        before = sum(crystal[0] for crystal in crystals) / requested
        print(
            f'# {arm} {name}: {requested} samples, {len(placed)} distinct with a distance, {len(kept)} of them satisfy'
        )
        if placed:
            figure(f'kept-{arm}-{name}', len(kept) / len(placed), 'share', 'of the samples before', before)
            middle = statistics.median(crystal[2] for crystal in placed)
            value = statistics.median(crystal[2] for crystal in kept) if kept else None
            figure(f'hull-{arm}-{name}', value, 'eV/atom', 'median of all distinct', middle)
