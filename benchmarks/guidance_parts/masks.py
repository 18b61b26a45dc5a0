"""Whether crystals that were sampled around a kagome net keep it when they relax, beside crystals sampled without.

Each compound is sampled from noise by the shipped generator in one cell content that can have the net of its metal,
without a mask and with ``kagome(METAL)``, and relaxed by CHGNet without symmetry. A crystal has the net if each atom of
the metal has, in one plane and within 1.25 times the distance of the nearest, four others in two straight lines that
cross at 60 degrees, to a tolerance of about 10 degrees: neither the mask nor the cell is used, and both arms are judged
alike. What is counted: crystals with the net before (`before`) and after (`after`) the relaxation, those that relaxed
(`relaxed`), and those without overlaps before (`valid`). Runs are kept in `masks.json`.
"""

from __future__ import annotations

import functools
import itertools
import typing as t
from collections.abc import Callable
from pathlib import Path

import numpy as np
from figures import figure
from pymatgen.core import Structure
from scipy.stats import binomtest

from aiida_qagenai.api import relax
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.generator.projection import VALID_SCALE, closest_ratio
from guidance_parts.runs import complete

RECORD = Path(__file__).with_name('masks.json')
CONTENTS: dict[str, dict[str, int]] = {
    'Co': {'Co': 3, 'Sn': 2, 'S': 2},
    'Fe': {'Fe': 3, 'Sn': 3},
    'Ni': {'Ni': 3, 'In': 2, 'S': 2},
}
"""Metal of the net → cell content; the first two are of compounds with such nets, Co3Sn2S2 and FeSn."""

PER_CONTENT = 5
STEPS = 100
MAX_STEPS = 150
ARMS = ('unmasked', 'masked')
COUNTED = ('before', 'after', 'relaxed', 'valid')

NEAR = 1.25
"""Farthest of the four neighbours over the nearest."""

COSINES = np.array([-1, -1, -0.5, -0.5, 0.5, 0.5])
"""Of the angles between the four neighbours of a site of the net, ascending."""

TOLERANCE = 0.2
"""Of the cosines, and of those of the angles between neighbours and the normal of the plane."""

Runner = Callable[[str, dict[str, t.Any]], dict[str, t.Any]]


def benchmark(run: Runner, seeds: int, *, quick: bool, again: bool = False) -> None:
    """Print the figures of all runs, after those of the seeds that are not stored but with ``quick``.

    :param again: whether the stored runs of these seeds are measured anew.
    """
    plan = [] if quick else [{'arm': arm, 'seed': seed} for seed in range(seeds) for arm in ARMS]
    show(complete(RECORD, plan, functools.partial(measure, run), again=again))


def measure(run: Runner, arm: str, seed: int) -> dict[str, t.Any]:
    """Return the counts of one run."""
    counts = dict.fromkeys(COUNTED, 0)
    for metal, content in CONTENTS.items():
        mask = f'kagome({metal})' if arm == 'masked' else None
        request = {'mode': 'composition', 'composition': content, 'count': PER_CONTENT}
        run('generate', {'requests': [request], 'steps': STEPS, 'seed': seed, 'mask': mask})
        batch = StructureBatch.load('candidates.npz')
        structures = list(batch.structures())
        after = relax(structures, 'chgnet', max_steps=MAX_STEPS, keep_symmetry=False)
        counts['valid'] += sum(closest_ratio(*crystal) >= VALID_SCALE for crystal in batch)
        counts['before'] += sum(has_kagome(each, metal) for each in structures)
        counts['relaxed'] += sum(not each.reason for each in after)
        counts['after'] += sum(not each.reason and has_kagome(each.structure, metal) for each in after)
    return {'arm': arm, 'seed': seed, 'requested': PER_CONTENT * len(CONTENTS), **counts}


def has_kagome(structure: Structure, symbol: str) -> bool:
    """Return whether all atoms of an element are sites of a kagome net."""
    metals = Structure(
        structure.lattice,
        [symbol] * round(structure.composition[symbol]),
        [site.frac_coords for site in structure if site.specie.symbol == symbol],
    )
    return all(_is_site(metals, index) for index in range(len(metals)))


def _is_site(metals: Structure, index: int) -> bool:
    """Return whether an atom has four neighbours of a kagome net, and no other in their plane."""
    neighbours = metals.get_neighbors(metals[index], 6.0)
    nearest = min((each.nn_distance for each in neighbours), default=0.0)
    vectors = [each.coords - metals[index].coords for each in neighbours]
    # each pair that encloses about 60 degrees is tried as a part of the plane
    close = np.array([vector / each.nn_distance for vector, each in zip(vectors, neighbours, strict=True)])
    distances = np.array([each.nn_distance for each in neighbours])
    for first, second in itertools.combinations(np.flatnonzero(distances <= 1.5 * nearest), 2):
        if abs(close[first] @ close[second] - 0.5) > TOLERANCE:
            continue
        normal = np.cross(close[first], close[second])
        flat = np.abs(close @ normal) / np.linalg.norm(normal) <= TOLERANCE
        shortest = distances[flat].min()
        plane = close[flat & (distances <= NEAR * shortest)]
        if len(plane) == 4:
            found = np.sort([one @ other for one, other in itertools.combinations(plane, 2)])
            if np.abs(found - COSINES).max() <= TOLERANCE:
                return True
    return False


def show(runs: list[dict[str, t.Any]]) -> None:
    """Print the shares of all seeds, with their intervals as comments."""
    base: dict[str, float] = {}
    for arm in ARMS:
        mine = [each for each in runs if each['arm'] == arm]
        if not mine:
            continue
        total = sum(each['requested'] for each in mine)
        for key in COUNTED:
            number = sum(each[key] for each in mine)
            limits = binomtest(number, total).proportion_ci(method='wilson')
            print(f'# {arm} {key}: {number} of {total}, 95 % interval {limits.low:.2f} to {limits.high:.2f}')
            base.setdefault(key, number / total)
            figure(f'kagome-{arm}-{key}', number / total, 'fraction of those requested', 'without a mask', base[key])
