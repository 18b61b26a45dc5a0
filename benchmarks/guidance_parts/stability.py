"""Whether structures that were ordered keep what was ordered when they relax, and whether they are stable.

The samples of a target, with guidance and without (as in ``guidance_parts.targets``), go through the validation of
ordered crystals: symmetry, distances, relaxation by CHGNet, duplicates and the hull of the package. `kept-ARM-NAME` is
the share of the distinct relaxed crystals that satisfy the constraints, beside the share of all samples that did
before; `hull-ARM-NAME` the median distance to the hull of those that satisfy them (eV/atom), beside that of all
distinct ones. CHGNet is 0.025 eV/atom off on known crystals. Runs are kept in `stability.json`, with a list for each
crystal: satisfied before and after, distance to the hull, whether it is a duplicate.
"""

from __future__ import annotations

import json
import statistics
import typing as t
from collections.abc import Sequence
from pathlib import Path

from figures import figure

from aiida_qagenai.api import validate
from aiida_qagenai.exchange.structures import StructureBatch
from guidance_parts import targets

RECORD = Path(__file__).with_name('stability.json')
ARMS = ('unguided', 'guided')


def benchmark(run: targets.Runner, names: Sequence[str], seeds: int, *, quick: bool) -> None:
    """Print the figures of the stored runs with ``quick``, or of new ones for some targets, which are stored."""
    runs: list[dict[str, t.Any]] = json.loads(RECORD.read_text()) if RECORD.exists() else []
    if not quick:
        for name in names:
            for seed in range(seeds):
                for arm in ARMS:
                    runs = [each for each in runs if (each['target'], each['arm'], each['seed']) != (name, arm, seed)]
                    runs.append(measure(run, name, arm, seed))
                    lines = ',\n'.join(json.dumps(each, separators=(',', ':')) for each in runs)
                    RECORD.write_text(f'[\n{lines}\n]\n')
    show(runs)


def measure(run: targets.Runner, name: str, arm: str, seed: int) -> dict[str, t.Any]:
    """Sample, validate and return what became of each crystal: satisfied before, after, distance, duplicate."""
    target = targets.TARGETS[name]
    geometry = {'constraints': target.constraints, **targets.ARMS[arm]}
    run('generate', targets.configuration(target, geometry, seed))
    structures = StructureBatch.load('candidates.npz').structures()
    crystals = [
        [
            each.satisfied_before,
            each.satisfied,
            each.e_above_hull and round(each.e_above_hull, 4),
            bool(each.duplicate_of),
        ]
        for _, each in validate(structures, list(target.constraints))
    ]
    requested = targets.PER_CONTENT * len(target.contents)
    return {'target': name, 'arm': arm, 'seed': seed, 'requested': requested, 'crystals': crystals}


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
