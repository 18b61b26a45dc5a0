"""Train the generator of any chemistry that the package ships, on known crystals of up to 20 atoms.

    python recipes/foundation.py --data /path/to/shared/data --output DIR --hours 2 [--start CHECKPOINT] [--resume]

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0). Formulas are split by their
hash: a tenth is never trained on, of which half validates and half is left for tests. Of crystals with a published gap
at PBE the generator sees the gap, so that it can be asked for one. `DIR/foundation` is a checkpoint of the averaged
weights in half precision, written every ten minutes, with `card.json` about its data beside it; `DIR/state.pt` is what
`--resume` continues from. The learning rate follows a cosine over `--hours` of training. `--start` begins with the
weights of another checkpoint, whose statistics of lattices stay.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
import training
from crystals import read_crystals
from gap_data import FILES as GAP_FILES
from gap_data import add_gaps

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.exchange.tasks import GeneratorOptions, RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.elements import element_numbers
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.runtime import Runtime, setup
from aiida_qagenai.ml.training.crystals import Bucket, make_buckets
from aiida_qagenai.ml.training.generator import (
    Batches,
    add_fields,
    diffusion_losses,
    drop_conditioning,
    held_out_losses,
    num_atoms_counts,
    prepare,
    total_loss,
)

SIZE = 'base'
BATCH_SIZE = 128
WEIGHT_DECAY = 1e-4
KNOWN_TYPES = 0.8
"""Share of the samples whose types are given: mostly structure prediction, also open compositions."""

DROPPED = GeneratorOptions()
"""How often the gap is left out, so that the generator can also be asked for nothing."""

ELEMENTS = tuple(range(1, 104))
"""Atomic numbers that the checkpoint accepts: also those without a training structure, by their chemical features."""


def new_model(buckets: list[Bucket], runtime: Runtime) -> Denoiser:
    """Return a generator with random weights and the statistics of the training set."""
    model = Denoiser(len(ELEMENTS), **SIZES[SIZE]).to(runtime.dtype)
    prepare(model, buckets, ELEMENTS)
    return model.to(runtime.device)


def model_of(start: Path, buckets: list[Bucket], runtime: Runtime) -> Denoiser:
    """Return the generator of a checkpoint, which gaps change nothing of at first."""
    tensors, info = load_checkpoint(start, 'generator')
    if element_numbers(info.elements) != ELEMENTS or info.configuration['network'] != SIZES[SIZE]:
        raise SystemExit(f'{start} has other elements or another network than this recipe trains')
    model = rebuild(Denoiser, tensors, info, runtime.dtype)
    add_fields(model, buckets)
    return model.to(runtime.device)


def train(model: Denoiser, splits: dict[str, list[Bucket]], arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Train until the hours are over, saving on the way."""
    state = training.Training.begin(model, WEIGHT_DECAY)
    training.resume(state, arguments, runtime)
    fresh = state.runtime(runtime)
    generator, stream = fresh.generator(0, on_device=True), iter(Batches(splits['train'], BATCH_SIZE, fresh))

    def losses() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        bucket, rows = next(stream)
        q, labelled = model.normalise_q(bucket.q[rows])
        known = drop_conditioning(labelled, DROPPED, generator)
        parts = diffusion_losses(model, bucket, rows, q, known, generator=generator, known_types=arguments.known_types)
        return total_loss(parts), parts

    def save() -> None:
        write(state, model, splits, arguments, runtime)

    training.train(state, losses, save, arguments=arguments, batch_size=BATCH_SIZE)


def write(
    state: training.Training,
    model: Denoiser,
    splits: dict[str, list[Bucket]],
    arguments: argparse.Namespace,
    runtime: Runtime,
) -> None:
    """Write the state, the checkpoint and its card."""
    fixed = dataclasses.replace(runtime, seed=arguments.seed)
    settings = {
        'batch_size': BATCH_SIZE, 'learning_rate': training.LEARNING_RATE, 'ema_decay': training.EMA_DECAY,
        'known_types': arguments.known_types, 'hours': arguments.hours, 'clip': training.CLIP,
        'dropped': DROPPED.model_dump(include={'block_dropout', 'field_dropout'}),
    }  # fmt: skip
    training.write(
        state,
        lambda: held_out_losses(model, splits['validation'], fixed, draws=2, known_types=1.0),
        arguments=arguments,
        name='foundation',
        card=arguments.output / 'card.json',
        architecture=f'crystal-diffusion-{SIZE}',
        configuration={
            'size': SIZE,
            'network': SIZES[SIZE],
            'num_atoms_counts': num_atoms_counts(splits['train']),
            'training': settings,
        },
        elements=tuple(SYMBOLS[number - 1] for number in ELEMENTS),
    )


def main() -> None:
    """Read the arguments and train."""
    parser = training.parser(__doc__)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--start', type=Path, help='checkpoint whose weights the training begins with')
    parser.add_argument('--known-types', type=float, default=KNOWN_TYPES, help='share of samples whose types are given')
    arguments = training.parse(parser)
    runtime = setup(RuntimeConfig(seed=arguments.seed, device=arguments.device, num_threads=arguments.threads))
    splits, arguments.card = read_crystals(arguments.data, arguments.excluded, arguments.output / 'crystals.npz')
    arguments.options = f' --known-types {arguments.known_types:g}'
    arguments.card['files'] |= {name: sha256((arguments.data / name).read_bytes()) for name in GAP_FILES}
    arguments.card['num_gaps'] = {part: add_gaps(labels, arguments.data) for part, labels in splits.items()}
    buckets = {part: make_buckets(labels, ELEMENTS, runtime) for part, labels in splits.items()}
    print(f'{len(splits["train"])} structures to train on, {len(splits["validation"])} to validate', flush=True)
    if arguments.start is None:
        model = new_model(buckets['train'], runtime)
    else:
        model = model_of(arguments.start, buckets['train'], runtime)
        arguments.options += ' --start CHECKPOINT'
        arguments.card['start_sha256'] = load_checkpoint(arguments.start, 'generator')[1].sha256
    train(model, buckets, arguments, runtime)


if __name__ == '__main__':
    main()
