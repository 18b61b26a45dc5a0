"""Baselines that generate crystals, as functions of one form, and how often they predict a structure.

    python benchmarks/generation_arms.py --test mp20_bi_ternary.csv.gz --count 400 [--quick]

The file has the columns `material_id` and `cif`. Of each crystal only the content of its primitive cell is used. Match
rates follow the field's definition: samples valid, with one sample the reference as well, all references in the
denominator.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import typing as t
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from rich.progress import track

from aiida_qagenai.evaluation.matching import match_rates
from aiida_qagenai.evaluation.validity import structure_is_valid
from aiida_qagenai.exchange.readers.structure_files import read_attempts

sys.path.insert(0, str(Path(__file__).parents[1] / 'examples'))

NUM_SAMPLES = 20


class Arm(t.Protocol):
    """A baseline: from the content of a primitive cell to crystals, the best guess first; ``None`` is a failure."""

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return ``count`` crystals."""
        ...


def random_crystals(composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
    """Return random crystals by PyXtal, each with a space group drawn evenly from those that fit."""
    from random_crystals import random_crystal

    rng = np.random.default_rng(seed)
    found: list[Structure | None] = []
    for _ in range(count):
        try:
            found.append(AseAtomsAdaptor.get_structure(random_crystal(dict(composition), rng)))
        except RuntimeError:
            found.append(None)
    return found


ARMS: dict[str, Arm] = {'random': random_crystals}


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure as a line of JSON."""
    record = {'name': name, 'value': value, 'unit': unit, 'reference': None, 'reference_value': None, 'ratio': None}
    print(json.dumps(record), flush=True)


def read(path: Path, count: int, seed: int) -> dict[str, Structure]:
    """Return identifier → structure of ``count`` crystals, drawn at random."""
    found = {item.name: item.structure for item in read_attempts(path) if item.structure is not None}
    names = sorted(found)
    return {names[index]: found[names[index]] for index in np.random.default_rng(seed).permutation(len(names))[:count]}


def judge(name: str, arm: Arm, references: dict[str, Structure], seed: int) -> None:
    """Print what an arm reaches on the compositions of known crystals."""
    started, samples = time.perf_counter(), {}
    for index, (key, reference) in enumerate(track(references.items(), description=name)):
        amounts = reference.get_primitive_structure().composition.get_el_amt_dict()
        composition = {symbol: round(amount) for symbol, amount in amounts.items()}
        samples[key] = arm(composition, NUM_SAMPLES, seed + index)
    drawn = [sample for found in samples.values() for sample in found]
    figure(f'seconds-per-structure-{name}', (time.perf_counter() - started) / len(drawn), 's, one core')
    made = [sample for sample in drawn if sample is not None]
    figure(f'generated-{name}', len(made) / len(drawn), f'share of {len(drawn)}')
    valid = sum(structure_is_valid(sample) for sample in made)
    figure(f'structural-validity-{name}', valid / len(drawn), f'share of {len(drawn)}')
    for found in match_rates(samples, references, (1, NUM_SAMPLES)):
        ending = '' if found.count == 1 else f'-{found.count}'
        low, high = found.rate.interval or (float('nan'), float('nan'))
        figure(f'match-rate{ending}-{name}', found.rate.value, f'share of {len(references)} ({low:.3f} to {high:.3f})')
        figure(f'rmse{ending}-{name}', found.rmse.value, '(V/N)^1/3')


def main() -> None:
    """Print the figures of every arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', type=Path, required=True, help='CSV with `material_id` and `cif`')
    parser.add_argument('--count', type=int, default=400, help='number of crystals, drawn at random')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='5 crystals')
    arguments = parser.parse_args()
    if not arguments.test.exists():
        parser.error(f'{arguments.test} does not exist: pass a table of crystals with --test')
    warnings.simplefilter('ignore')
    references = read(arguments.test, 5 if arguments.quick else arguments.count, arguments.seed)
    for name, arm in ARMS.items():
        judge(name, arm, references, arguments.seed)


if __name__ == '__main__':
    main()
