"""How often the baselines that generate crystals predict a structure.

    python benchmarks/generation_arms.py --test mp20_bi_ternary.csv.gz --count 400 [--held-out] [--arms NAME…] [--quick]

The file has the columns `material_id` and `cif`. Of each crystal only the content of its primitive cell is used, and no
known crystal with the formula of any crystal that is asked for. `--held-out` keeps the formulas to which nothing was
fitted: without it, arms that were trained may know the answer. The arms stand in the folder `arms`. Match rates follow
the field's definition: samples valid, with one sample the reference as well, all references in the denominator.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

from arms import NAMES, Arm, build
from figures import figure
from pymatgen.core import Structure
from rich.progress import track
from structure_prediction import content, read

from aiida_qagenai.evaluation.matching import match_rates
from aiida_qagenai.evaluation.validity import structure_is_valid

SLOW = ('gnome_like', 'diffcsp', 'cdvae')
"""Arms that `--quick` leaves out."""


def judge(name: str, arm: Arm, references: dict[str, Structure], count: int, seed: int) -> None:
    """Print what an arm reaches on the compositions of known crystals."""
    started, samples = time.perf_counter(), {}
    for index, (key, reference) in enumerate(track(references.items(), description=name)):
        samples[key] = arm(content(reference), count, seed + index)
    drawn = [sample for found in samples.values() for sample in found]
    figure(f'seconds-per-structure-{name}', (time.perf_counter() - started) / len(drawn), 's, one core')
    made = [sample for sample in drawn if sample is not None]
    figure(f'generated-{name}', len(made) / len(drawn), f'share of {len(drawn)}')
    valid = sum(structure_is_valid(sample) for sample in made)
    figure(f'structural-validity-{name}', valid / len(drawn), f'share of {len(drawn)}')
    for found in match_rates(samples, references, sorted({1, count})):
        ending = '' if found.count == 1 else f'-{found.count}'
        low, high = found.rate.interval or (float('nan'), float('nan'))
        figure(f'match-rate{ending}-{name}', found.rate.value, f'share of {len(references)} ({low:.3f} to {high:.3f})')
        figure(f'rmse{ending}-{name}', found.rmse.value, '(V/N)^1/3')


def main() -> None:
    """Print the figures of every arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', type=Path, required=True, help='CSV with `material_id` and `cif`')
    parser.add_argument('--count', type=int, default=400, help='number of crystals, drawn at random')
    parser.add_argument('--samples', type=int, default=20, help='generated for each crystal')
    parser.add_argument('--held-out', action='store_true', help='only formulas to which nothing was fitted')
    parser.add_argument('--arms', nargs='+', choices=NAMES, default=NAMES, metavar='NAME', help=', '.join(NAMES))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help=f'3 crystals, 4 samples each, without {", ".join(SLOW)}')
    arguments = parser.parse_args()
    if not arguments.test.exists():
        parser.error(f'{arguments.test} does not exist: pass a table of crystals with --test')
    warnings.simplefilter('ignore')
    if arguments.quick:
        arguments.count, arguments.samples = 3, 4
        arguments.arms = [name for name in arguments.arms if name not in SLOW]
    references = read(arguments.test, arguments.count, arguments.held_out, arguments.seed)
    excluded = {structure.composition.reduced_formula for structure in references.values()}
    for name in arguments.arms:
        judge(name, build(name, excluded), references, arguments.samples, arguments.seed)


if __name__ == '__main__':
    main()
