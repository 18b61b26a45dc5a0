"""Structures that were ordered: shares that satisfy geometric constraints with guidance, without, and at best of two.

The targets are those of the paper on adaptive constraint guidance, and polyhedra that share two edges or only corners,
on cell contents of compounds of these systems, sampled from noise by the shipped generator. `best-of` draws two samples
for each one wanted, which is twice the evaluations of the network of guidance, and keeps the one that satisfies its
constraint or misses it least. Each run is a target, an arm and a seed; what is counted: structures that satisfy the
constraints (`hits`), where the first is a coordination those of them that also satisfy it by pymatgen's CrystalNN
(`agreed`), which guidance does not know, structures without overlaps (`valid`), structures that pass `screen`
(`passed`) and distinct structures (`distinct`). The published single runs of the paper rise from 2.3 % to 27 % and from
22 % to 47 %.
"""

from __future__ import annotations

import functools
import time
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from figures import figure
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure
from scipy.stats import binomtest

from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.generator.projection import VALID_SCALE, closest_ratio
from guidance_parts.runs import complete

RECORD = Path(__file__).with_name('targets.json')
STEPS = 100
PER_CONTENT, SEEDS = 5, 5
"""Samples of each cell content and seed."""

SIX = 'coordination(Si,O)=6'
THREE = (SIX, 'volume_per_atom=8.5±8%', 'min_distance(O,O)>=2.1')
SILICA: tuple[dict[str, int], ...] = ({'Si': 2, 'O': 4}, {'Si': 3, 'O': 6}, {'Si': 4, 'O': 8})
TITANIA: tuple[dict[str, int], ...] = ({'Ti': 2, 'O': 4}, {'Ti': 3, 'O': 6}, {'Ti': 4, 'O': 8})


class Target(t.NamedTuple):
    """What is asked for.

    :param contents: cell contents, as many samples of each.
    :param arms: which of :data:`ARMS` are measured.
    """

    constraints: tuple[str, ...]
    contents: tuple[dict[str, int], ...]
    arms: tuple[str, ...] = ('unguided', 'best-of-2', 'guided')


TARGETS = {
    'si-o-six': Target((SIX,), SILICA),
    'co-o-four': Target(
        ('coordination(Co,O)=4',), ({'Co': 2, 'O': 2}, {'Co': 4, 'O': 4}, {'Co': 3, 'O': 4}, {'Co': 4, 'O': 6})
    ),
    'ca-cu-si-p-four': Target(
        ('coordination(Cu,P)=4',),
        ({'Ca': 1, 'Cu': 1, 'Si': 1, 'P': 2}, {'Ca': 2, 'Cu': 2, 'Si': 2, 'P': 2}, {'Ca': 1, 'Cu': 2, 'Si': 1, 'P': 3}),
    ),
    'cu-si-p-three-to-six': Target(
        ('coordination(Cu,[Si,P])=3..6',),
        ({'Cu': 1, 'Si': 2, 'P': 3}, {'Cu': 4, 'Si': 1, 'P': 3}, {'Cu': 2, 'Si': 2, 'P': 4}),
    ),
    'boron-volume': Target(('volume_per_atom=6.8±5%',), ({'B': 6}, {'B': 8}, {'B': 12})),
    'ti-o-edges': Target(('edge_sharing(Ti,O)=2', 'coordination(Ti,O)=6'), TITANIA),
    'si-o-corners': Target(('corner_sharing(Si,O)=4', 'coordination(Si,O)=4', 'edge_sharing(Si,O)=0'), SILICA),
    'silica-three': Target(THREE, SILICA),
    'silica-volume': Target(THREE[1:2], SILICA, ('unguided', 'guided')),
    'silica-distance': Target(THREE[2:], SILICA, ('unguided', 'guided')),
}
ARMS: dict[str, dict[str, t.Any]] = {
    'unguided': {'guided': False},
    'best-of-2': {'guided': False, 'best_of': 2},
    'guided': {},
}

COUNTED = ('hits', 'agreed', 'valid', 'passed', 'distinct')

Runner = Callable[[str, dict[str, t.Any]], dict[str, t.Any]]


def benchmark(run: Runner, names: Sequence[str], *, quick: bool, again: bool = False, record: Path = RECORD) -> None:
    """Print the time that guidance costs, and the figures of all runs, after those that are not stored.

    :param run: runs a task in the working directory and returns its results.
    :param names: targets that are measured but with ``quick``; the stored runs of the others are shown.
    :param again: whether the stored runs of these targets are measured anew.
    :param record: where the runs are kept.
    """
    overhead(run)
    wanted = [(name, seed, arm) for name in names for seed in range(SEEDS) for arm in TARGETS[name].arms]
    plan = [] if quick else [{'target': name, 'arm': arm, 'seed': seed} for name, seed, arm in wanted]
    show(complete(record, plan, functools.partial(measure, run), again=again))


def measure(run: Runner, target: str, arm: str, seed: int) -> dict[str, t.Any]:
    """Return the counts of one run."""
    wanted = TARGETS[target]
    run('generate', configuration(wanted, {'constraints': wanted.constraints, **ARMS[arm]}, seed))
    batch = StructureBatch.load('candidates.npz')
    hits = load_arrays('candidates.npz')['geometry_satisfied'].all(1)
    structures = list(batch.structures())
    constraint = GeometricConstraint.model_validate(wanted.constraints[0])
    satisfied = [structure for structure, hit in zip(structures, hits, strict=True) if hit]
    agreed = None if constraint.name != 'coordination' else sum(agrees(each, constraint) for each in satisfied)
    return {
        'target': target,
        'arm': arm,
        'seed': seed,
        'requested': PER_CONTENT * len(wanted.contents),
        'hits': int(hits.sum()),
        'agreed': agreed,
        'valid': int(sum(closest_ratio(*crystal) >= VALID_SCALE for crystal in batch)),
        'passed': sum(screen(structure).passed for structure in structures),
        'distinct': len(find_duplicates(structures).representatives),
    }


def configuration(target: Target, geometry: dict[str, t.Any] | None, seed: int) -> dict[str, t.Any]:
    """Return the configuration of the task that samples for a target."""
    requests = [{'mode': 'composition', 'composition': each, 'count': PER_CONTENT} for each in target.contents]
    return {'requests': requests, 'steps': STEPS, 'seed': seed, 'geometry': geometry, 'relations': False}


def overhead(run: Runner) -> None:
    """Print the processor time of the task with constraints over that without, for two targets."""
    for name in ('si-o-six', 'ca-cu-si-p-four'):
        target, times = TARGETS[name], []
        # the first run pays for what is loaded once
        run('generate', {**configuration(target, None, 0), 'steps': 2})
        for geometry in (None, {'constraints': target.constraints}):
            start = time.process_time()
            run('generate', configuration(target, geometry, 0))
            times.append(time.process_time() - start)
        figure(f'overhead-{name}', times[1], 's of a processor', 'without guidance', times[0])


def agrees(structure: Structure, constraint: GeometricConstraint) -> bool:
    """Return whether CrystalNN gives all atoms A as many neighbours B as were asked for."""
    finder = CrystalNN(distance_cutoffs=None, x_diff_weight=0, porous_adjustment=False)
    for index, site in enumerate(structure):
        if site.specie.symbol == constraint.centre:
            found = [each['site'].specie.symbol for each in finder.get_nn_info(structure, index)]
            number = sum(symbol in constraint.neighbours for symbol in found)
            if not (constraint.minimum or 0) <= number <= (constraint.maximum or np.inf):
                return False
    return True


def show(runs: list[dict[str, t.Any]]) -> None:
    """Print the shares of all seeds, with their intervals as comments."""
    for name, target in TARGETS.items():
        base: dict[str, float] = {}
        for arm in target.arms:
            mine = [each for each in runs if (each['target'], each['arm']) == (name, arm)]
            if not mine:
                continue
            total = sum(each['requested'] for each in mine)
            sums = {key: sum(each[key] or 0 for each in mine) for key in COUNTED}
            limits = binomtest(sums['hits'], total).proportion_ci(method='wilson')
            print(f'# {arm}-{name}: {sums["hits"]} of {total}, 95 % interval {limits.low:.2f} to {limits.high:.2f}')
            for key, value in sums.items():
                if key == 'agreed' and mine[0]['agreed'] is None:
                    continue
                label = f'{arm}-{name}' + ('' if key == 'hits' else f'-{key}')
                base.setdefault(key, value / total)
                figure(label, value / total, 'fraction of those requested', 'without guidance', base[key])
