"""Constraints that act while the generator samples: valid candidates, and structures that were ordered.

    python benchmarks/guidance.py [--quick] [--only {validity,targets,stability,masks}] [--data FILE] [--again]

`targets` is the module `guidance_parts.targets`, which says what it measures. Runs are kept as soon as they have ended,
and those that are kept are not repeated, so that a measurement that was killed goes on; `--again` forgets them first,
and `--quick` prints the figures of the stored runs. Two parts are only run when asked for: `stability`, the module
`guidance_parts.stability`, relaxes the samples of the `--targets`, and `masks`, the module `guidance_parts.masks`,
crystals that were sampled around a kagome net. For `validity` a tiny generator is trained on ionic crystals: those of a
table with the columns ``cif`` and ``e_above_hull``, or decorated prototypes where none is given. It then samples
neutral compositions that it has not seen and chemical systems in which it chooses the elements itself, with the same
seeds and weights for every setting.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import itertools
import json
import os
import tempfile
import typing as t
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from figures import figure
from guidance_parts import masks, stability, targets
from pymatgen.core import Structure

from aiida_qagenai.chemistry.composition_space import CompositionSpace
from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.chemistry.prototypes import decorated_prototypes
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.cli import RESULTS_NAME, main

CATIONS = ('Li', 'Na', 'K', 'Mg', 'Ca', 'Sr', 'Ba', 'Al', 'Y', 'Ti', 'Zr', 'Zn')
ANIONS = ('O', 'F', 'S', 'Cl', 'Se')
MAX_ATOMS = 12

ARMS: dict[str, dict[str, t.Any] | None] = {
    'unguided': None,
    'guided': {},
}
"""Without and with constraints."""


def run(task: str, config: dict[str, t.Any]) -> dict[str, t.Any]:
    """Run a command here and return its results."""
    Path('config.json').write_text(json.dumps(config))
    with contextlib.redirect_stdout(io.StringIO()):
        status = main([task, '--config', 'config.json'])
    results: dict[str, t.Any] = json.loads(Path(RESULTS_NAME).read_text())
    if status:
        raise RuntimeError(results['error'])
    return results


def training_set(data: Path | None) -> list[Structure]:
    """Return the ionic crystals to train on, all of which satisfy the constraints."""
    if data is None:
        systems = [(c, a) for c in CATIONS for a in ANIONS]
        systems += [(*pair, a) for pair in itertools.combinations(CATIONS, 2) for a in ANIONS]
        found = [s for system in systems for s in decorated_prototypes(system, max_atoms=10)]
        return [seed.structure for seed in found if seed.neutral and screen(seed.structure).passed]
    frame = pd.read_csv(data)
    frame = frame[frame['e_above_hull'] <= 0.1]
    structures = (Structure.from_str(cif, fmt='cif') for cif in frame['cif'])
    elements = {*CATIONS, *ANIONS}
    return [
        s for s in structures if len(s) <= MAX_ATOMS and {e.symbol for e in s.elements} <= elements and screen(s).passed
    ]


def pack(structures: list[Structure]) -> LabelledBatch:
    """Return structures without labels as a training set."""
    batch = StructureBatch.from_structures(structures, [str(index) for index in range(len(structures))])
    count = len(structures)
    return LabelledBatch(
        structures=batch,
        energies=np.full((count, 4), np.nan),
        descriptors=np.full((count, NUM_DESCRIPTORS), np.nan),
        groups=np.array([s.composition.reduced_formula for s in structures]),
        split=np.zeros(count, dtype=np.int8),
    )


def requests(count: int, known: set[str], seed: int) -> list[dict[str, t.Any]]:
    """Return ``count`` neutral compositions that were not trained on, and as many cells of open composition."""
    space = CompositionSpace((*CATIONS, *ANIONS), max_atoms=MAX_ATOMS, max_elements=3, source='pymatgen_icsd')
    wanted: list[dict[str, t.Any]] = []
    for composition in space.sample(50 * count, seed=seed):
        formula = ''.join(f'{symbol}{n}' for symbol, n in composition.items())
        one_anion = len(set(composition) & set(ANIONS)) == 1
        if one_anion and min(composition.values()) > 0 and formula not in known and len(wanted) < count:
            wanted.append({'mode': 'composition', 'composition': composition, 'count': 1})
    rng = np.random.default_rng(seed)
    for _ in range(count):
        elements = [*rng.choice(CATIONS, 2, replace=False).tolist(), str(rng.choice(ANIONS))]
        wanted.append(
            {'mode': 'chemical_system', 'elements': elements, 'min_atoms': 4, 'max_atoms': MAX_ATOMS, 'count': 1}
        )
    return wanted


def judge(label: str, count: int, results: dict[str, t.Any], baseline: dict[str, float]) -> None:
    """Print how many of the candidates are valid, and why the others are not."""
    batch = StructureBatch.load('candidates.npz')
    structures = list(batch.structures())
    requested = np.load('candidates.npz')['request']
    seconds = results['timings']['sampling_seconds'] + results['timings']['projection_seconds']
    rates = {'seconds': seconds}
    for part, chosen in (('given', requested < count), ('open', requested >= count)):
        members = [s for s, keep in zip(structures, chosen, strict=True) if keep]
        for stage in ('generation', 'validation', 'final'):
            verdicts = [screen(s, stage=stage) for s in members]  # type: ignore[arg-type]
            rates[f'{part}-{stage}'] = sum(v.passed for v in verdicts) / count
        failed = collections.Counter(name for v in verdicts for name in v.failed)
        print(f'# {label}, {part} composition: {dict(failed.most_common())} of {count}')
        # elements and alloys pass easily: guidance must not take refuge in them
        applies = [v.to_dict().get('charge_neutrality_verdict') != 'not_applicable' for v in verdicts]
        rates[f'{part}-compounds'] = sum(applies) / count
        rates[f'{part}-distinct'] = len(find_duplicates(members)) / count
    for name, value in rates.items():
        unit = 's' if name == 'seconds' else 'fraction of those requested'
        figure(f'guidance-{label}-{name}', value, unit, 'without guidance', baseline.get(name, value))
    baseline.update(rates if label == 'unguided' else {})


def benchmark(data: Path | None, quick: bool, seed: int) -> None:
    """Train once and sample with every setting in the working directory."""
    structures = training_set(data)
    pack(structures).save('dataset.npz')
    print(f'# {len(structures)} structures to train on')
    steps = 300 if quick else 1000
    run('train', {'role': 'generator', 'dataset': 'dataset.npz', 'output': 'generator', 'steps': steps, 'seed': seed})
    count = 30 if quick else 100
    wanted = requests(count, {s.composition.formula.replace(' ', '') for s in structures}, seed)
    baseline: dict[str, float] = {}
    for label, constraints in ARMS.items():
        config = {'generator': 'generator', 'requests': wanted, 'steps': 50 if quick else 100, 'seed': seed}
        results = run('generate', {**config, 'constraints': constraints})
        judge(label, count, results, baseline)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, help='CSV with columns cif and e_above_hull; prototypes if not given')
    parser.add_argument('--quick', action='store_true', help='fewer steps and samples; `targets` alone by default')
    parser.add_argument(
        '--only', choices=['validity', 'targets', 'stability', 'masks'], help='the first two if not given'
    )
    parser.add_argument('--again', action='store_true', help='measure the runs that are stored anew')
    parser.add_argument('--targets', nargs='+', default=list(targets.TARGETS), choices=list(targets.TARGETS))
    parser.add_argument('--seeds', type=int, default=5, help='seeds of `stability` and `masks`')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is not None and not arguments.data.exists():
        parser.error(f'{arguments.data} does not exist')
    warnings.simplefilter('ignore')
    table = None if arguments.data is None else arguments.data.resolve()
    how = {'quick': arguments.quick, 'again': arguments.again}
    parts = [arguments.only] if arguments.only else ['targets'] if arguments.quick else ['targets', 'validity']
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if 'targets' in parts:
            targets.benchmark(run, arguments.targets, **how)
        if 'stability' in parts:
            stability.benchmark(run, arguments.targets, arguments.seeds, **how)
        if 'masks' in parts:
            masks.benchmark(run, arguments.seeds, **how)
        if 'validity' in parts:
            benchmark(table, arguments.quick, arguments.seed)
