"""Training of the denoiser: structures per second, and the time to the error that an earlier release reaches.

    python benchmarks/denoiser.py --data mp20_bi_ternary.csv.gz [--quick] [--baseline cba444c]

Both train their size `base` on the same crystals, one core each, one after the other, and are asked for the same: the
clean coordinates of held-out formulas from coordinates with noise of 5 and 10 % of the lattice vectors. The error is
the root mean square over atoms and directions, in units of that of the noise. Seconds are those of the processor, so
that other work on the machine changes little. The earlier release comes from the history of this repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
import warnings
from pathlib import Path

import numpy as np
import torch
from figures import figure

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.generator.network import SIZES, Denoiser, Noisy
from aiida_qagenai.ml.runtime import Runtime, setup
from aiida_qagenai.ml.training import generator as training

WIDTHS = (0.05, 0.1)
CHECKS, QUICK_CHECKS = 16, 4
"""Times the error is measured in a training, and in one of ``QUICK_SECONDS``."""

QUICK_SECONDS = 10.0

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
HELD_OUT = 100


def pack(data: Path, count: int, folder: Path) -> None:
    """Write ``count`` crystals to train on and some of other formulas, as ``train.npz`` and ``held_out.npz``."""
    import pandas as pd
    from pymatgen.core import Structure

    frame = pd.read_csv(data).sample(frac=1, random_state=0)[: count + HELD_OUT]
    structures = [Structure.from_str(cif, fmt='cif') for cif in frame['cif']]
    formulas = np.array([structure.composition.reduced_formula for structure in structures])
    held = np.isin(formulas, formulas[-HELD_OUT:])
    for name, chosen in (('train', ~held), ('held_out', held)):
        members = [structure for structure, keep in zip(structures, chosen, strict=True) if keep]
        number = len(members)
        LabelledBatch(
            structures=StructureBatch.from_structures(members, [str(index) for index in range(number)]),
            energies=np.full((number, 4), np.nan),
            descriptors=np.full((number, NUM_DESCRIPTORS), np.nan),
            groups=formulas[chosen],
            split=np.zeros(number, dtype=np.int8),
        ).save(folder / f'{name}.npz')


class Trainee:
    """A denoiser of this release in training.

    :param elements: atomic numbers.
    """

    def __init__(self, labels: LabelledBatch, elements: tuple[int, ...], runtime: Runtime) -> None:
        from aiida_qagenai.ml.training.crystals import make_buckets

        self.buckets = make_buckets(labels, elements, runtime)
        self.model = Denoiser(len(elements), **SIZES['base'])
        training.prepare(self.model, self.buckets, elements)
        self.generator = runtime.generator(0)
        self.stream = iter(training.Batches(self.buckets, BATCH_SIZE, runtime))

    def loss(self) -> torch.Tensor:
        """Return the loss of the next batch."""
        bucket, rows = next(self.stream)
        q, known = self.model.normalise_q(bucket.q[rows])
        losses = training.diffusion_losses(self.model, bucket, rows, q, known, generator=self.generator)
        return training.total_loss(losses)

    def shift(self, noisy: Noisy, width: float) -> torch.Tensor:
        """Return the predicted displacements to the clean coordinates."""
        nothing = torch.zeros(len(noisy.x), NUM_DESCRIPTORS)
        predicted = self.model(noisy, nothing, nothing.bool())
        return self.model.clean(noisy, predicted)[1]


class FormerTrainee:
    """The same of a release that predicted scores and padded all cells to the largest."""

    def __init__(self, labels: LabelledBatch, elements: tuple[int, ...], runtime: Runtime) -> None:
        from aiida_qagenai.ml.training.optimisation import batches

        self.table = training.CrystalTable.build(labels.structures, elements, runtime)
        self.model = Denoiser(len(elements), **SIZES['base'])
        training._normalise(self.model, self.table, labels)
        self.q, _ = self.model.normalise_q(runtime.tensor(labels.descriptors))
        self.generator = runtime.generator(0)
        self.stream = batches(np.arange(len(labels)), BATCH_SIZE, self.generator)

    def loss(self) -> torch.Tensor:
        """Return the loss of the next batch."""
        rows = torch.from_numpy(next(self.stream))
        q = self.q[rows]
        losses = training.diffusion_losses(
            self.model, self.table, rows, q, torch.zeros_like(q, dtype=torch.bool), generator=self.generator
        )
        return torch.stack([training.WEIGHTS[name] * value for name, value in losses.items()]).sum()

    def shift(self, noisy: Noisy, width: float) -> torch.Tensor:
        """Return the displacements that follow from the predicted score."""
        from aiida_qagenai.ml.generator.diffusion import score_scale

        nothing = torch.zeros(len(noisy.x), NUM_DESCRIPTORS)
        score = self.model(noisy, nothing, nothing.bool()).score
        return width**2 * score_scale(noisy.time)[:, None, None] * score


def time_of(width: float) -> float:
    """Return the time at which the noise of the coordinates has a width, in any release."""
    from aiida_qagenai.ml.generator.diffusion import SIGMA_MAX, SIGMA_MIN

    return float(np.log(width / SIGMA_MIN) / np.log(SIGMA_MAX / SIGMA_MIN))


def error(trainee: t.Any, labels: LabelledBatch, elements: tuple[int, ...]) -> float:
    """Return the root mean square error of the clean coordinates over that of the noise, mean over the widths."""
    from aiida_qagenai.ml.elements import species_indices
    from aiida_qagenai.ml.generator.diffusion import lattice_signal
    from aiida_qagenai.ml.generator.lattice import log_coordinates
    from aiida_qagenai.ml.generator.reduction import equivalent_settings

    generator = torch.Generator().manual_seed(7)
    ratios = []
    for width in WIDTHS:
        squares = noise_squares = 0.0
        time = torch.full((1,), time_of(width))
        alpha = lattice_signal(time)
        for cell, species, fractional in labels.structures:
            matrix = equivalent_settings(cell)[0]
            vectors = torch.tensor(matrix @ cell)
            x = torch.tensor(fractional @ np.linalg.inv(matrix), dtype=torch.float32)[None]
            size = torch.tensor([len(species)])
            z = trainee.model.lattice.encode(log_coordinates(vectors @ vectors.T[None]).float(), size)
            z = alpha * z + (1 - alpha**2).sqrt() * torch.randn(z.shape, generator=generator)
            noise = width * torch.randn(x.shape, generator=generator)
            noise -= noise.mean(1, keepdim=True)
            types = torch.from_numpy(species_indices(species, elements))[None]
            noisy = Noisy(z, x + noise, types, torch.ones_like(types, dtype=torch.bool), time)
            off = (trainee.shift(noisy, width) + noise) @ vectors.float()
            squares += float(off.square().sum())
            noise_squares += float((noise @ vectors.float()).square().sum())
        ratios.append((squares / noise_squares) ** 0.5)
    return float(np.mean(ratios))


def train(seconds: float) -> None:
    """Train the release that is imported on the files of the working directory, and print the course as JSON."""
    runtime = setup(RuntimeConfig(seed=0))
    labels, held_out = LabelledBatch.load('train.npz'), LabelledBatch.load('held_out.npz')
    elements = tuple(range(1, 97))
    kind = FormerTrainee if hasattr(training, 'CrystalTable') else Trainee
    trainee = kind(labels, elements, runtime)
    optimiser = torch.optim.AdamW(trainee.model.parameters(), lr=LEARNING_RATE, fused=True)
    spent, seen, course = 0.0, 0, []
    checks = CHECKS if seconds > QUICK_SECONDS else QUICK_CHECKS
    while spent < seconds:
        begin = time.process_time()
        for group in optimiser.param_groups:
            group['lr'] = LEARNING_RATE * min(1.0, (seen + BATCH_SIZE) / 5000)
        optimiser.zero_grad(set_to_none=True)
        trainee.loss().backward()
        torch.nn.utils.clip_grad_norm_(trainee.model.parameters(), 0.5)
        optimiser.step()
        seen += BATCH_SIZE
        spent += time.process_time() - begin
        if spent > seconds * (len(course) + 1) / checks:
            with torch.no_grad():
                course.append({'seconds': spent, 'structures': seen, 'error': error(trainee, held_out, elements)})
    print(json.dumps({'parameters': sum(p.numel() for p in trainee.model.parameters()), 'course': course}))


def run(tree: Path, seconds: float, folder: Path) -> dict[str, t.Any]:
    """Train the release whose package is in ``tree``, in a process of its own."""
    environment = {**os.environ, 'PYTHONPATH': str(tree), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-W', 'ignore', str(Path(__file__).resolve()), '--train', str(seconds)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    result: dict[str, t.Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the figures."""
    here = Path(__file__).resolve().parents[1]
    pack(arguments.data, arguments.count, folder)
    archive = subprocess.run(
        ['git', '-C', str(here), 'archive', arguments.baseline, 'aiida_qagenai'], capture_output=True, check=False
    )
    new = run(here, arguments.seconds, folder)
    last = new['course'][-1]
    if archive.returncode:
        print(f'# no commit {arguments.baseline} here: nothing to compare with; give --baseline or fetch the history')
        figure('denoiser-training', last['structures'] / last['seconds'], 'structures/s', 'itself', 0.0)
        return
    (folder / 'former').mkdir()
    subprocess.run(['tar', '-x', '-C', str(folder / 'former')], input=archive.stdout, check=True)
    former = run(folder / 'former', arguments.seconds, folder)
    end = former['course'][-1]
    reference = f'commit {arguments.baseline}, same run'
    print(f'# parameters: {new["parameters"]} against {former["parameters"]}')
    for label, result in (('new', new), ('former', former)):
        print(f'# {label}: ' + ', '.join(f'{p["seconds"]:.0f} s {p["error"]:.3f}' for p in result['course']))
    rates = [each['structures'] / each['seconds'] for each in (last, end)]
    figure('denoiser-training', rates[0], 'structures/s', reference, rates[1])
    figure('denoiser-error', last['error'], 'of the noise, held-out formulas, same seconds', reference, end['error'])
    reached = [point for point in new['course'] if point['error'] <= end['error']]
    if reached:
        at_equal = end['seconds'] / reached[0]['seconds']
        figure('denoiser-speed-at-equal-error', at_equal, 'times as fast to the error of the former', reference, 1.0)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, help='CSV with a column cif')
    parser.add_argument('--count', type=int, default=4000, help='crystals to train on')
    parser.add_argument('--seconds', type=float, default=300.0, help='of the processor, for each training')
    parser.add_argument('--baseline', default='cba444c', help='commit to compare with')
    parser.add_argument('--quick', action='store_true', help='300 crystals, 10 seconds')
    parser.add_argument('--train', type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train)
        sys.exit()
    if arguments.data is None or not arguments.data.exists():
        parser.error(f'--data: {arguments.data} does not exist')
    if arguments.quick:
        arguments.count, arguments.seconds = 300, QUICK_SECONDS
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory() as name:
        compare(arguments, Path(name))
