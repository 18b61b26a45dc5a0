"""Train the generator of any chemistry that the package ships, on known crystals of up to 20 atoms.

    python recipes/foundation.py --data /path/to/shared/data --output DIR --hours 2 [--resume]

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0). Formulas are split by their
hash: a tenth is never trained on, of which half validates and half is left for tests. `DIR/foundation` is a checkpoint
of the averaged weights in half precision, written every ten minutes, with `card.json` about its data beside it;
`DIR/state.pt` is what `--resume` continues from. The learning rate follows a cosine over `--hours` of training.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import json
import math
import time
import typing as t
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.evaluation.held_out import part_of
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import structures_of
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import save_checkpoint
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.runtime import Runtime, package_versions, setup
from aiida_qagenai.ml.training.crystals import Bucket, make_buckets
from aiida_qagenai.ml.training.generator import (
    Batches,
    diffusion_losses,
    held_out_losses,
    num_atoms_counts,
    prepare,
    total_loss,
)
from aiida_qagenai.ml.training.optimisation import Averaged

FILES = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz', 'mp_extra/structures.csv.gz')
MAX_ATOMS = 20
SIZE = 'base'
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
WARM_UP = 300
CLIP = 0.5
EMA_DECAY = 0.9995
KNOWN_TYPES = 0.8
"""Share of the samples whose types are given: mostly structure prediction, also open compositions."""

ELEMENTS = tuple(range(1, 104))
"""Atomic numbers that the checkpoint accepts: also those without a training structure, by their chemical features."""

SAVE_EVERY = 600.0
"""Seconds between checkpoints."""


def read_crystals(folder: Path, excluded: set[str], cache: Path) -> tuple[dict[str, LabelledBatch], dict[str, t.Any]]:
    """Return the crystals of each split, every material once, and what stands in the card.

    :param excluded: reduced formulas that belong to no split.
    :param cache: NPZ file that spares reading the files again.
    """
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    if not cache.exists():
        _parse(folder).save(cache)
    labels = LabelledBatch.load(cache)
    parts = np.array(['excluded' if group in excluded else part_of(group) for group in labels.groups])
    splits = {part: labels.select(np.flatnonzero(parts == part)) for part in ('train', 'validation')}
    numbers, counts = np.unique(parts, return_counts=True)
    card = {
        'files': digests,
        'license': 'CC BY 4.0',
        'source': 'Materials Project',
        'max_atoms': MAX_ATOMS,
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10',
        'num_structures': {str(part): int(count) for part, count in zip(numbers, counts, strict=True)},
        'excluded_formulas': sorted(excluded),
    }
    return splits, card


def _parse(folder: Path) -> LabelledBatch:
    """Return all readable crystals of at most ``MAX_ATOMS`` atoms."""
    found: dict[str, t.Any] = {}
    for name in FILES:
        with gzip.open(folder / name) as handle:
            for record in read_raw_records(handle, 'csv', name):
                for item in structures_of(record):
                    if item.structure is not None and item.structure.is_ordered and len(item.structure) <= MAX_ATOMS:
                        found.setdefault(item.name, item.structure)
        print(f'{name}: {len(found)} crystals so far', flush=True)
    structures = list(found.values())
    return LabelledBatch(
        structures=StructureBatch.from_structures(structures, list(found)),
        energies=np.full((len(found), 4), np.nan),
        descriptors=np.full((len(found), NUM_DESCRIPTORS), np.nan),
        groups=np.array([structure.composition.reduced_formula for structure in structures]),
        split=np.zeros(len(found), dtype=np.int8),
    )


@dataclasses.dataclass
class Training:
    """The state of a training that can be interrupted.

    :param seconds: trained so far, over all runs.
    """

    model: Denoiser
    optimiser: torch.optim.AdamW
    averaged: Averaged
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @classmethod
    def begin(cls, buckets: list[Bucket], runtime: Runtime) -> Training:
        """Return a new training."""
        model = Denoiser(len(ELEMENTS), **SIZES[SIZE]).to(runtime.dtype)
        prepare(model, buckets, ELEMENTS)
        model.to(runtime.device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4, fused=True)
        return cls(model, optimiser, Averaged(list(model.parameters()), EMA_DECAY))

    def state(self) -> dict[str, t.Any]:
        """Return everything as tensors and plain values."""
        return {
            'model': self.model.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'averaged': self.averaged.state(),
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
        }

    def restore(self, state: dict[str, t.Any]) -> None:
        """Take up a stored state."""
        self.model.load_state_dict(state['model'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.averaged.restore(state['averaged'])
        self.step, self.seconds, self.history = state['step'], state['seconds'], state['history']


def train(training: Training, splits: dict[str, list[Bucket]], arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Train until the hours are over, saving on the way."""
    model = training.model
    # A continued training must not see the numbers of its first part again.
    runtime = dataclasses.replace(runtime, seed=runtime.seed + training.step)
    generator = runtime.generator(0, on_device=True)
    stream = iter(Batches(splits['train'], BATCH_SIZE, runtime))
    total, started, begun = arguments.hours * 3600, training.seconds, time.perf_counter()
    saved, shown = started, training.step
    sums: dict[str, torch.Tensor] = {}
    while training.seconds < total:
        bucket, rows = next(stream)
        q, known = model.normalise_q(bucket.q[rows])
        losses = diffusion_losses(model, bucket, rows, q, known, generator=generator, known_types=KNOWN_TYPES)
        descend(training, total_loss(losses), training.seconds / total)
        sums = {name: sums.get(name, torch.zeros_like(value)) + value.detach() for name, value in losses.items()}
        training.seconds = started + time.perf_counter() - begun
        if training.step - shown == arguments.log_every:
            figures = {name: value.item() / arguments.log_every for name, value in sums.items()}
            rate = BATCH_SIZE * training.step / training.seconds
            shown_figures = ' '.join(f'{name} {value:.4f}' for name, value in figures.items())
            left = (total - training.seconds) / 60
            print(f'step {training.step} {shown_figures} {rate:.0f} structures/s, {left:.0f} min left', flush=True)
            sums, shown = {}, training.step
        if training.seconds - saved > SAVE_EVERY:
            save(training, splits, arguments, runtime)
            saved = training.seconds
    save(training, splits, arguments, runtime)


def descend(training: Training, loss: torch.Tensor, progress: float) -> None:
    """Take one step, with the learning rate of this ``progress`` (0 to 1)."""
    factor = min(1.0, (training.step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
    for group in training.optimiser.param_groups:
        group['lr'] = LEARNING_RATE * factor
    training.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(training.model.parameters(), CLIP)
    training.optimiser.step()
    training.averaged.update()
    training.step += 1


def half(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights in half precision, which suffices for sampling, and everything else as it is."""
    weights = {name for name, _ in model.named_parameters()}
    return {name: value.half() if name in weights else value for name, value in model.state_dict().items()}


def save(training: Training, splits: dict[str, list[Bucket]], arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Write the state, and a checkpoint of the averaged weights with its losses on held-out formulas."""
    with training.averaged.applied():
        fixed = dataclasses.replace(runtime, seed=arguments.seed)
        losses = held_out_losses(training.model, splits['validation'], fixed, draws=2, known_types=1.0)
        training.history.append({'step': training.step, 'seconds': training.seconds, **losses})
        print('held out: ' + ' '.join(f'{name} {value:.4f}' for name, value in losses.items()), flush=True)
        recipe = f'python recipes/foundation.py --hours {arguments.hours:g} --exclude FILE_OF_EXCLUDED_FORMULAS'
        card = {
            **arguments.card,
            'recipe': recipe,
            'seed': arguments.seed,
            'step': training.step,
            'hours': training.seconds / 3600,
        }
        settings = {'batch_size': BATCH_SIZE, 'learning_rate': LEARNING_RATE, 'ema_decay': EMA_DECAY}
        info = save_checkpoint(
            arguments.output / 'foundation',
            half(training.model),
            role='generator',
            architecture=f'crystal-diffusion-{SIZE}',
            configuration={
                'size': SIZE,
                'network': SIZES[SIZE],
                'num_atoms_counts': num_atoms_counts(splits['train']),
                'training': {**settings, 'known_types': KNOWN_TYPES, 'hours': arguments.hours, 'clip': CLIP},
            },
            num_parameters=sum(parameter.numel() for parameter in training.model.parameters()),
            elements=tuple(SYMBOLS[number - 1] for number in ELEMENTS),
            metrics={f'validation_loss_{name}': value for name, value in losses.items()},
            dataset_sha256=hashlib.sha256((arguments.output / 'crystals.npz').read_bytes()).hexdigest(),
            parent_sha256=None,
            seed=arguments.seed,
        )
    card |= {'checkpoint_sha256': info.sha256, 'versions': package_versions(), 'history': training.history}
    (arguments.output / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
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
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--log-every', type=int, default=100, help='steps between lines of progress')
    arguments = parser.parse_args()
    missing = [name for name in FILES if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    stored = arguments.output / 'state.pt'
    if arguments.resume != stored.exists():
        parser.error(f'{stored} exists: give --resume' if stored.exists() else f'there is no {stored} to resume from')
    arguments.output.mkdir(parents=True, exist_ok=True)
    runtime = setup(RuntimeConfig(seed=arguments.seed, device=arguments.device, num_threads=arguments.threads))
    excluded = set(arguments.exclude.read_text().split()) if arguments.exclude else set()
    splits, arguments.card = read_crystals(arguments.data, excluded, arguments.output / 'crystals.npz')
    buckets = {part: make_buckets(labels, ELEMENTS, runtime) for part, labels in splits.items()}
    print(f'{len(splits["train"])} structures to train on, {len(splits["validation"])} to validate', flush=True)
    training = Training.begin(buckets['train'], runtime)
    if arguments.resume:
        training.restore(torch.load(stored, map_location=runtime.device, weights_only=True))
    train(training, buckets, arguments, runtime)


if __name__ == '__main__':
    main()
