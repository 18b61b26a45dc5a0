"""Throughput of the GPU side on the machine at hand, and the share of valid samples.

    python benchmarks/ml.py [--quick] [--device cuda] [--threads 1] [--size base --batch-size 64]

The models are trained and run on the made-up crystals of the tests, by the same commands that a campaign runs.
References marked as published were measured elsewhere, on other machines and data: context, not a comparison.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests' / 'fixtures'))

from figures import figure
from toy_crystals import describe, toy_dataset, toy_structures

from aiida_qagenai.common.descriptors import unpack
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.cli import RESULTS_NAME, main

QUICKSTART = {
    'descriptor': {'steps': 400, 'seconds': 15},
    'generator': {'steps': 1000, 'seconds': 45},
    'validator': {'steps': 500, 'seconds': 60, 'members': 5},
}
"""Steps of the campaign of the protocol `machinery` and the seconds that its schedule grants them on one core."""


VOLUMES = (8.0, 12.0)
"""Volumes whose made-up descriptors are the two targets of the conditioning, Å3/atom."""


def run(task: str, config: dict[str, t.Any]) -> dict[str, t.Any]:
    """Run a command here and return its results."""
    Path('config.json').write_text(json.dumps(config))
    with contextlib.redirect_stdout(io.StringIO()):
        status = main([task, '--config', 'config.json'])
    results: dict[str, t.Any] = json.loads(Path(RESULTS_NAME).read_text())
    if status:
        raise RuntimeError(results['error'])
    return results


def supercells(structures: StructureBatch, count: int) -> StructureBatch:
    """Return ``count`` cells of 16 atoms, eight times the two atoms of each structure."""
    chosen = structures.select(np.arange(count))
    shifts = np.indices((2, 2, 2)).reshape(3, -1).T
    offsets = chosen.offsets
    atoms = [slice(offsets[index], offsets[index + 1]) for index in range(count)]
    return StructureBatch(
        num_atoms=chosen.num_atoms * 8,
        cells=chosen.cells * 2,
        species=np.concatenate([np.tile(chosen.species[each], 8) for each in atoms]),
        fractional=np.concatenate([((chosen.fractional[each] + shift) / 2) for each in atoms for shift in shifts]),
        identifiers=chosen.identifiers,
    )


def volume_shift(guidance: float, runtime: dict[str, t.Any]) -> float:
    """Return how far the mean volume of LiH samples moves between descriptors of two volumes, Å3/atom."""
    means = []
    for volume in VOLUMES:
        target = unpack(describe(np.eye(3) * (2 * volume) ** (1 / 3), np.array([3, 1])))
        request = {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 60}
        config = {'generator': 'generator', 'requests': [request], 'target': target, 'guidance_scale': guidance}
        means.append(run('generate', {**config, **runtime})['metrics']['mean_volume_per_atom'])
    return means[1] - means[0]


def benchmark(runtime: dict[str, t.Any], quick: bool, model: dict[str, t.Any]) -> None:
    """Train the three models, sample and predict in the working directory, and print the figures."""
    toy_dataset().save('dataset.npz')
    for role, budget in QUICKSTART.items():
        steps = budget['steps'] if role == 'generator' and not quick else budget['steps'] // 5
        config = {'role': role, 'dataset': 'dataset.npz', 'output': role, 'steps': steps, **model, **runtime}
        results = run('train', config)
        done = steps * budget.get('members', 1)
        rate = done / results['timings']['training_seconds']
        needed = budget['steps'] * budget.get('members', 1) / budget['seconds']
        figure(f'train_{role}_{model["size"]}', rate, 'steps/s', f'machinery schedule: {budget["seconds"]} s', needed)

    count = 60 if quick else 240
    requests = [
        {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': count // 2},
        {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'max_atoms': 4, 'count': count - count // 2},
    ]
    results = run('generate', {'generator': 'generator', 'descriptor': 'descriptor', 'requests': requests, **runtime})
    seconds = results['timings']['sampling_seconds'] + results['timings']['projection_seconds']
    reference = 'published: DiffCSP on MP-20, RTX 5000 Ada, 381 s per 1000'
    figure('generate_100_steps', results['num_generated'] / seconds, 'structures/s', reference, 1000 / 381)
    reference = 'published: validity in Table 6 of the paper, other data and other criteria'
    figure('generate_valid_fraction', results['metrics']['valid_fraction'], '1', reference, 0.964)

    for guidance in (0.3, 1.0, 2.0):
        reference = 'the shift that the targets ask for, at λ = ' + str(guidance)
        figure(
            'conditioning_volume_shift', volume_shift(guidance, runtime), 'Å3/atom', reference, VOLUMES[1] - VOLUMES[0]
        )

    count = 120 if quick else 600
    small = toy_structures(count, seed=1, names=('rocksalt', 'cscl'))
    reference = 'published: five members in 0.1 s per structure, paper 4.2.2'
    for name, structures in (('2_atoms', small), ('16_atoms', supercells(small, count // 10))):
        structures.save('structures.npz')
        results = run('predict', {'validator': 'validator', 'structures': 'structures.npz', **runtime})
        timings = results['timings']
        seconds = timings['neighbour_lists_seconds'] + timings['evaluation_seconds']
        figure(f'predict_5_members_4_levels_{name}', len(structures) / seconds, 'structures/s', reference, 10.0)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer steps and structures: within a minute on one core')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--size', choices=('tiny', 'base'), default='tiny', help='size of the three models')
    parser.add_argument('--batch-size', type=int, help='structures per step of training; the default of each model')
    arguments = parser.parse_args()
    model = {'size': arguments.size, **({'batch_size': arguments.batch_size} if arguments.batch_size else {})}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        benchmark({'device': arguments.device, 'num_threads': arguments.threads}, arguments.quick, model)
