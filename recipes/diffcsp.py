"""Train the arm `diffcsp` of the benchmarks on the crystals that train the shipped generator.

    python recipes/diffcsp.py --data /path/to/shared/data --output DIR --hours 1 [--resume]

Data, splits and excluded formulas are those of `recipes/foundation.py`; cells are Niggli-reduced, as published.
`DIR/diffcsp` is a checkpoint of the averaged weights in half precision, written every ten minutes, with `card.json`
about its data beside it; `DIR/state.pt` is what `--resume` continues from. To change the arm, put the folder in the
place of `benchmarks/arms/diffcsp_checkpoint`.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path

import foundation
import numpy as np
import torch
from pymatgen.core import Lattice

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import save_checkpoint
from aiida_qagenai.ml.runtime import Runtime, package_versions, setup
from aiida_qagenai.ml.training.generator import Batches
from aiida_qagenai.ml.training.optimisation import Averaged

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks'))

from arms.csp_diffusion import STEPS, Schedule, losses
from arms.cspnet import MAX_ATOMIC_NUMBER, SMALL, CSPNet

BATCH_SIZE = 128
DRAWS = 4
"""Noise levels at which each validation crystal is judged."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """Crystals with the same number of atoms N.

    :param numbers: atomic numbers, shape (n, N).
    :param fractional: shape (n, N, 3).
    :param lattice: rows are lattice vectors in the orientation of pymatgen, Å, shape (n, 3, 3).
    """

    numbers: torch.Tensor
    fractional: torch.Tensor
    lattice: torch.Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return some of the crystals."""
        return self.numbers[rows], self.fractional[rows], self.lattice[rows]


def by_size(labels: LabelledBatch) -> list[Cells]:
    """Return the crystals with reduced cells, by number of atoms."""
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for structure in labels.structures.structures():
        reduced = structure.get_reduced_structure('niggli')
        numbers = np.array(reduced.atomic_numbers)
        if numbers.max() <= MAX_ATOMIC_NUMBER:
            lattice = Lattice.from_parameters(*reduced.lattice.parameters).matrix
            found.setdefault(len(numbers), []).append((numbers, reduced.frac_coords, lattice))
    groups = (zip(*found[size], strict=True) for size in sorted(found))
    return [
        Cells(
            torch.as_tensor(np.array(numbers)),
            torch.as_tensor(np.array(fractional), dtype=torch.float32),
            torch.as_tensor(np.array(lattice), dtype=torch.float32),
        )
        for numbers, fractional, lattice in groups
    ]


def held_out(model: CSPNet, schedule: Schedule, cells: list[Cells], seed: int) -> dict[str, float]:
    """Return the mean losses of the validation crystals, always with the same noise."""
    generator = torch.Generator().manual_seed(seed)
    sums, total = {'lattice': 0.0, 'coordinates': 0.0}, 0
    with torch.no_grad():
        for each in cells:
            for _ in range(DRAWS):
                found = losses(model, schedule, *each.rows(torch.arange(len(each))), generator=generator)
                sums = {name: sums[name] + len(each) * float(value) for name, value in found.items()}
                total += len(each)
    return {name: value / total for name, value in sums.items()}


def train(
    training: foundation.Training, splits: dict[str, list[Cells]], arguments: argparse.Namespace, runtime: Runtime
) -> None:
    """Train until the hours are over, saving on the way."""
    schedule, model = Schedule.build(), training.model
    # A continued training must not see the numbers of its first part again.
    runtime = dataclasses.replace(runtime, seed=runtime.seed + training.step)
    generator, stream = runtime.generator(0), iter(Batches(splits['train'], BATCH_SIZE, runtime))
    total, started, begun = arguments.hours * 3600, training.seconds, time.perf_counter()
    saved, sums = started, torch.zeros(2)
    while training.seconds < total:
        cells, rows = next(stream)
        found = torch.stack(list(losses(model, schedule, *cells.rows(rows), generator=generator).values()))
        foundation.descend(training, found.sum(), training.seconds / total)
        training.seconds = started + time.perf_counter() - begun
        sums += found.detach()
        if training.step % arguments.log_every == 0:
            lattice, coordinates = (sums / arguments.log_every).tolist()
            rate = BATCH_SIZE * training.step / training.seconds
            left = (total - training.seconds) / 60
            print(
                f'step {training.step} lattice {lattice:.4f} coordinates {coordinates:.4f} {rate:.0f} structures/s, '
                f'{left:.0f} min left',
                flush=True,
            )
            sums = torch.zeros(2)
        if training.seconds - saved > foundation.SAVE_EVERY or training.seconds >= total:
            save(training, schedule, splits['validation'], arguments)
            saved = training.seconds


def save(
    training: foundation.Training, schedule: Schedule, validation: list[Cells], arguments: argparse.Namespace
) -> None:
    """Write the state, and a checkpoint of the averaged weights with its losses on held-out formulas."""
    model = training.model
    with training.averaged.applied():
        found = held_out(model, schedule, validation, arguments.seed)
        training.history.append({'step': training.step, 'seconds': training.seconds, **found})
        print('held out: ' + ' '.join(f'{name} {value:.4f}' for name, value in found.items()), flush=True)
        info = save_checkpoint(
            arguments.output / 'diffcsp',
            {name: tensor.half() for name, tensor in model.state_dict().items()},
            role='generator',
            architecture='diffcsp',
            configuration={'network': SMALL, 'steps': STEPS, 'batch_size': BATCH_SIZE},
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            elements=SYMBOLS[:MAX_ATOMIC_NUMBER],
            metrics={f'validation_loss_{name}': value for name, value in found.items()},
            dataset_sha256=hashlib.sha256((arguments.output / 'crystals.npz').read_bytes()).hexdigest(),
            parent_sha256=None,
            seed=arguments.seed,
        )
    card = {**arguments.card, 'seed': arguments.seed, 'step': training.step, 'hours': training.seconds / 3600}
    card |= {'checkpoint_sha256': info.sha256, 'versions': package_versions(), 'history': training.history}
    (arguments.output / 'diffcsp' / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    partial = arguments.output / 'state.partial'
    torch.save(training.state(), partial)
    partial.replace(arguments.output / 'state.pt')


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--output', type=Path, required=True, help='folder of the checkpoint, its card and the state')
    parser.add_argument('--hours', type=float, required=True, help='time to train, over all runs')
    parser.add_argument('--exclude', type=Path, help='file with further reduced formulas that are not trained on')
    parser.add_argument('--resume', action='store_true', help='continue the training in --output')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--log-every', type=int, default=100, help='steps between lines of progress')
    arguments = parser.parse_args()
    missing = [name for name in foundation.FILES if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    stored = arguments.output / 'state.pt'
    if arguments.resume != stored.exists():
        parser.error(f'{stored} exists: give --resume' if stored.exists() else f'there is no {stored} to resume from')
    arguments.output.mkdir(parents=True, exist_ok=True)
    runtime = setup(RuntimeConfig(seed=arguments.seed))
    excluded = set(arguments.exclude.read_text().split()) if arguments.exclude else set()
    cache = arguments.output / 'crystals.npz'
    splits, arguments.card = foundation.read_crystals(arguments.data, excluded, cache)
    cells = {part: by_size(labels) for part, labels in splits.items()}
    counts = {part: sum(len(each) for each in found) for part, found in cells.items()}
    print(f'{counts["train"]} structures to train on, {counts["validation"]} to validate', flush=True)
    model = CSPNet(**SMALL)
    optimiser = torch.optim.AdamW(model.parameters(), lr=foundation.LEARNING_RATE, weight_decay=0.0, fused=True)
    averaged = Averaged(list(model.parameters()), foundation.EMA_DECAY)
    training = foundation.Training(model, optimiser, averaged)
    if arguments.resume:
        training.restore(torch.load(stored, weights_only=True))
    train(training, cells, arguments, runtime)


if __name__ == '__main__':
    main()
