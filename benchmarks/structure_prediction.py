"""How often the structure of a composition is predicted: retrieval of motifs, with and without the learned ranking.

    python benchmarks/structure_prediction.py --test mp20_bi_ternary.csv.gz --count 400 [--held-out] [--quick]

The file has the columns `material_id` and `cif`. Of each crystal only the content of its primitive cell is used, and no
known crystal with the formula of any crystal that is asked for. `--held-out` keeps the formulas to which nothing in the
package was fitted (for files that were used to build it). Match rates follow the field's definition (samples valid,
with one sample the reference as well; all references in the denominator); those named `-unchecked` leave validity out.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from arms import Arm, build, is_held_out
from pymatgen.core import Structure
from rich.progress import track

from aiida_qagenai.evaluation.matching import compare, match_rate
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import structures_of
from aiida_qagenai.motifs.propose import MotifModels

NUM_SAMPLES = 20


def figure(
    name: str, value: float, unit: str, reference: str | None = None, reference_value: float | None = None
) -> None:
    """Print one figure as a line of JSON."""
    ratio = value / reference_value if reference_value else None
    record = {'name': name, 'value': value, 'unit': unit, 'reference': reference, 'reference_value': reference_value}
    print(json.dumps({**record, 'ratio': ratio}), flush=True)


def read(path: Path, count: int, held_out: bool, seed: int) -> dict[str, Structure]:
    """Return identifier → structure of ``count`` crystals, drawn at random."""
    found = {}
    with path.open('rb') as handle:
        for record in track(list(read_raw_records(handle, 'csv', path.name)), description='reading'):
            for item in structures_of(record):
                if item.structure is None:
                    print(f'{item.name}: {item.problem}')
                elif not held_out or is_held_out(item.structure.composition.reduced_formula):
                    found[item.name] = item.structure
    names = sorted(found)
    drawn = np.random.default_rng(seed).permutation(len(names))[:count]
    return {names[index]: found[names[index]] for index in drawn}


def predict(arm: Arm, references: dict[str, Structure], count: int) -> dict[str, list[Structure | None]]:
    """Return for each reference what an arm makes of its composition, the best guess first."""
    found = {}
    for name, structure in track(references.items(), description='proposing'):
        found[name] = arm(content(structure), count, seed=0)
    return found


def content(structure: Structure) -> dict[str, int]:
    """Return the atoms of the primitive cell by element."""
    amounts = structure.get_primitive_structure().composition.get_el_amt_dict()
    return {symbol: round(amount) for symbol, amount in amounts.items()}


def report(
    suffix: str, samples: dict[str, list[Structure | None]], references: dict[str, Structure], counts: Sequence[int]
) -> None:
    """Print match rates and distances of one arm."""
    comparisons = compare(
        samples, references, progress=lambda jobs, total: track(jobs, total=total, description='matching')
    ).values()
    for count in counts:
        for unchecked in (False, True):
            rate = match_rate(comparisons, count, check=not unchecked)
            ending = ('' if count == 1 else f'-{count}') + suffix + ('-unchecked' if unchecked else '')
            low, high = rate.rate.interval or (float('nan'), float('nan'))
            figure(f'match-rate{ending}', rate.rate.value, f'share of {len(references)} ({low:.3f} to {high:.3f})')
            if count == 1:
                figure(f'rmse{ending}', rate.rmse.value, '(V/N)^1/3')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', type=Path, required=True, help='CSV with `material_id` and `cif`')
    parser.add_argument('--count', type=int, default=400, help='number of crystals, drawn at random')
    parser.add_argument('--held-out', action='store_true', help='only formulas to which nothing was fitted')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='20 crystals')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    if not arguments.test.exists():
        raise SystemExit(f'{arguments.test} is missing: name a table of crystals')
    references = read(arguments.test, 20 if arguments.quick else arguments.count, arguments.held_out, arguments.seed)
    excluded = {structure.composition.reduced_formula for structure in references.values()}
    motifs, retrieval = build('motifs', excluded), build('retrieval', excluded)
    library = MotifModels.default().library
    _ = library.families, library.formulas
    started = time.perf_counter()
    samples = predict(motifs, references, NUM_SAMPLES)
    figure('seconds-per-request', (time.perf_counter() - started) / len(references), 's for 20 structures, one core')
    report('', samples, references, (1, 3, 5, NUM_SAMPLES))
    report('-retrieval', predict(retrieval, references, 1), references, (1,))


if __name__ == '__main__':
    main()
