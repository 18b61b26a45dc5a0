"""How often the structure of a composition is predicted: by motifs with and without a learned ranking, and by DiffCSP.

    python benchmarks/structure_prediction.py --test mp20_bi_ternary.csv.gz --count 400 [--held-out] [--quick]

The file has the columns `material_id` and `cif`. Of each crystal only the content of its primitive cell is used, and no
known crystal with the formula of any crystal that is asked for. `--held-out` keeps the formulas to which nothing in the
package was fitted (for files that were used to build it). Match rates follow the field's definition (samples valid,
with one sample the reference as well; all references in the denominator); those named `-unchecked` leave validity out.

The arm `diffcsp` predicts the first `--diffcsp-count` of the crystals. It was trained on the formulas that `--held-out`
leaves out: with a file that was used to build the package, only `--held-out` is fair. Speeds are in CPU time.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from arms import Arm, build
from arms.csp_diffusion import STEPS
from arms.cspnet import PUBLISHED, CSPNet
from arms.diffcsp import CHECKPOINT, DiffCSP
from arms.motifs import Motifs
from figures import figure
from pymatgen.core import Structure
from rich.progress import track
from sampling import sampled

from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.evaluation.matching import compare, match_rate
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import structures_of
from aiida_qagenai.ml.generator.generate import FOUNDATION
from aiida_qagenai.motifs.propose import MotifModels

NUM_SAMPLES = 20
TIMED = 8
"""Compositions for which the speed of the ways that are compared with DiffCSP is measured."""

SAME = 'proposals for the same crystals'


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
            figure(f'rmse{ending}', rate.rmse.value, '(V/N)^1/3')


def against_diffcsp(motifs: Arm, references: dict[str, Structure], generator: Path) -> None:
    """Print how often the arm `diffcsp` is right about crystals, and how much faster other ways are."""
    compositions = {name: content(structure) for name, structure in references.items()}
    drawn, rate = draw(compositions)
    samples = predict(motifs, references, 1)
    for check in (True, False):
        ours, theirs = (match_rate(compare(found, references).values(), 1, check=check) for found in (samples, drawn))
        ending = '' if check else '-unchecked'
        low, high = theirs.rate.interval or (float('nan'), float('nan'))
        unit = f'share of {len(references)} ({low:.3f} to {high:.3f})'
        figure(f'match-rate-diffcsp{ending}', theirs.rate.value, unit, SAME, ours.rate.value)
        figure(f'rmse-diffcsp{ending}', theirs.rmse.value, '(V/N)^1/3', SAME, ours.rmse.value)
    few = dict(itertools.islice(references.items(), TIMED))
    started = time.process_time()
    made = sum(each is not None for found in predict(motifs, few, NUM_SAMPLES).values() for each in found)
    speeds = {'sampling-vs-diffcsp': made / (time.process_time() - started)}
    if generator.exists():
        rate_of_diffusion = diffusion_rate([compositions[name] for name in few], generator)
        speeds['sampling-vs-diffcsp-diffusion'] = rate_of_diffusion
    figure('speed-diffcsp', rate, 'crystals per CPU second')
    published = published_rate(compositions)
    figure('speed-diffcsp-published-size', published, 'crystals per CPU second, from the time of one evaluation')
    for name, speed in speeds.items():
        figure(name, speed / rate, f'times as many crystals as speed-diffcsp: {speed:.3g} per CPU second')
        figure(f'{name}-published-size', speed / published, 'times as many as speed-diffcsp-published-size')


def draw(compositions: dict[str, dict[str, int]]) -> tuple[dict[str, list[Structure | None]], float]:
    """Return a crystal of each composition by the arm `diffcsp`, and how many it draws per CPU second.

    Crystals with the same number of atoms are drawn side by side, which takes the least time.
    """
    arm, drawn = DiffCSP.load(CHECKPOINT), {}
    started = time.process_time()
    for size, names in track(sorted(grouped(compositions).items()), description='diffcsp'):
        crystals = arm.draw([compositions[name] for name in names], seed=size)
        drawn |= {name: [crystal] for name, crystal in zip(names, crystals, strict=True)}
    return drawn, len(drawn) / (time.process_time() - started)


def grouped(compositions: dict[str, dict[str, int]]) -> dict[int, list[str]]:
    """Return names by number of atoms."""
    by_size: dict[int, list[str]] = {}
    for name, composition in compositions.items():
        by_size.setdefault(sum(composition.values()), []).append(name)
    return by_size


@torch.no_grad()
def published_rate(compositions: dict[str, dict[str, int]]) -> float:
    """Return crystals per CPU second of a DiffCSP of the published size: one evaluation times their number."""
    model, used = CSPNet(**PUBLISHED).eval(), 0.0
    for size, names in grouped(compositions).items():
        batch = (len(names), size)
        lattice = 5 * torch.eye(3).expand(len(names), 3, 3)
        started = time.process_time()
        model(torch.ones(len(names)), torch.ones(batch, dtype=torch.long), torch.rand((*batch, 3)), lattice)
        used += time.process_time() - started
    return len(compositions) / (2 * STEPS * used)


def diffusion_rate(compositions: Sequence[dict[str, int]], generator: Path) -> float:
    """Return crystals per CPU second of the package's own diffusion from noise, 20 of each composition."""
    requests = [{'mode': 'composition', 'composition': each, 'count': NUM_SAMPLES} for each in compositions]
    started = time.process_time()
    made = len(sampled(requests, generator=generator))
    return made / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--test', type=Path, required=True, help='CSV with `material_id` and `cif`')
    parser.add_argument('--count', type=int, default=400, help='number of crystals, drawn at random')
    parser.add_argument('--held-out', action='store_true', help='only formulas to which nothing was fitted')
    parser.add_argument('--diffcsp-count', type=int, default=120, help='crystals for the arm diffcsp, 0 leaves it out')
    parser.add_argument('--only-diffcsp', action='store_true', help='only the comparison with the arm diffcsp')
    parser.add_argument('--generator', type=Path, default=FOUNDATION, help='checkpoint whose speed is measured as well')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='20 crystals, without DiffCSP')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    if not arguments.test.exists():
        raise SystemExit(f'{arguments.test} is missing: name a table of crystals')
    references = read(arguments.test, 20 if arguments.quick else arguments.count, arguments.held_out, arguments.seed)
    excluded = {structure.composition.reduced_formula for structure in references.values()}
    motifs, retrieval = build('motifs', excluded), build('retrieval', excluded)
    library = MotifModels.default().library
    _ = library.families, library.formulas
    if not arguments.only_diffcsp:
        started = time.perf_counter()
        samples = predict(motifs, references, NUM_SAMPLES)
        seconds = (time.perf_counter() - started) / len(references)
        figure('seconds-per-request', seconds, 's for 20 structures, one core')
        report('', samples, references, (1, 3, 5, NUM_SAMPLES))
        report('-unrefined', predict(Motifs(frozenset(excluded), refine=False), references, 1), references, (1,))
    report('-retrieval', predict(retrieval, references, 1), references, (1,))
    if not arguments.quick and arguments.diffcsp_count:
        subset = dict(itertools.islice(references.items(), arguments.diffcsp_count))
        against_diffcsp(motifs, subset, arguments.generator)


if __name__ == '__main__':
    main()
