"""How often the structure of a composition is predicted from crystals of one's own: perov-5 and carbon-24.

    python benchmarks/own_library.py --data /path/to/shared/data/perov_5 --count 200 [--quick]
    python benchmarks/own_library.py --data /path/to/shared/data/carbon_24 --count 200 [--quick]

The folder has `train_poscars.json.gz` (identifier → POSCAR), whose crystals are the whole motif library, and
`val.csv.gz` with the columns `material_id` and `cif`, of which `--count` crystals are predicted. Of each crystal only
the content of its primitive cell is used; ranking and volumes are those of the package, without refinement. As in the
published tests, the library may hold other crystals of a composition that is asked for.

Match rates are those of `structure_prediction.py`. Many crystals of carbon-24 have the same content: they share the
proposals for it, of which each crystal is given another one first. METRe counts a crystal as found if the first
proposal for any crystal of its formula matches it, and cRMSE is the mean distance, with 0.5 for those not found.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
import time
import warnings
from pathlib import Path

from figures import figure
from pymatgen.core import Structure
from rich.progress import track
from structure_prediction import NUM_SAMPLES, content, read, report

from aiida_qagenai.evaluation.matching import compare, match_rate
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
from aiida_qagenai.motifs.propose import Limits, MotifModels, propose

TRAINING, VALIDATION = 'train_poscars.json.gz', 'val.csv.gz'
Samples = dict[str, list[Structure | None]]


def read_library(path: Path, count: int | None = None) -> MotifLibrary:
    """Return the library of the first ``count`` crystals of a file, or of all."""
    texts = list(json.loads(gzip.decompress(path.read_bytes())).items())[:count]
    return MotifLibrary.from_crystals(
        KnownCrystal(name, Structure.from_str(text, fmt='poscar')) for name, text in track(texts, description='library')
    )


def predict(models: MotifModels, references: dict[str, Structure], count: int) -> Samples:
    """Return for each reference at most ``count`` proposals for its content.

    References with the same content share the proposals for it, and each begins with another one.
    """
    sharing: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for name, structure in references.items():
        sharing.setdefault(tuple(content(structure).items()), []).append(name)
    found: Samples = {}
    for amounts, names in track(sharing.items(), description='proposing'):
        composition = dict(amounts)
        limits = Limits(formula_units=math.gcd(*composition.values()))
        proposals = propose(models, composition, count=max(count, len(names)), limits=limits)
        structures: list[Structure | None] = [each.structure for each in proposals]
        for place, name in enumerate(names):
            first = place % len(structures) if structures else 0
            found[name] = [*structures[first:], *structures[:first]][:count]
    return found


def report_polymorphs(suffix: str, samples: Samples, references: dict[str, Structure]) -> None:
    """Print METRe and cRMSE with one sample per reference."""
    first = {name: found[:1] for name, found in samples.items()}
    comparisons = compare(
        first, references, everyone=True, progress=lambda jobs, total: track(jobs, total=total, description='METRe')
    ).values()
    for check in (True, False):
        rate = match_rate(comparisons, 1, everyone=True, check=check)
        ending = suffix if check else f'{suffix}-unchecked'
        low, high = rate.rate.interval or (float('nan'), float('nan'))
        figure(f'metre{ending}', rate.rate.value, f'share of {len(references)} ({low:.3f} to {high:.3f})')
        figure(f'crmse{ending}', rate.corrected_rmse.value, '(V/N)^1/3')


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help=f'folder with {TRAINING} and {VALIDATION}')
    parser.add_argument('--count', type=int, default=200, help='number of crystals, drawn at random')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='10 crystals, a library of 1,000')
    arguments = parser.parse_args()
    missing = [name for name in (TRAINING, VALIDATION) if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    warnings.simplefilter('ignore')
    suffix = '-' + arguments.data.resolve().name.replace('_', '-')
    count = 10 if arguments.quick else arguments.count
    references = read(arguments.data / VALIDATION, count, held_out=False, seed=arguments.seed)
    library = read_library(arguments.data / TRAINING, 1000 if arguments.quick else None)
    models = dataclasses.replace(MotifModels.default(), library=library)
    _ = library.families, library.formulas
    started = time.perf_counter()
    samples = predict(models, references, NUM_SAMPLES)
    figure(f'library{suffix}', len(library), 'crystals')
    figure(f'seconds-per-crystal{suffix}', (time.perf_counter() - started) / len(references), 's, one core')
    report(suffix, samples, references, (1, NUM_SAMPLES))
    report_polymorphs(suffix, samples, references)


if __name__ == '__main__':
    main()
