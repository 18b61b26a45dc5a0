"""Train the arm `cdvae` of the benchmarks on the crystals that train the shipped generator.

    python recipes/cdvae.py --data /path/to/shared/data --output DIR --hours 0.4 [--resume]

Data, splits, excluded formulas and files are those of `recipes/diffcsp.py`, with the checkpoint in `DIR/cdvae`. To
change the arm, put the folder in the place of `benchmarks/arms/cdvae_checkpoint`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
import training
from crystals import Cells

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.generator import Batches

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks'))

from arms.cspnet import MAX_ATOMIC_NUMBER
from arms.vae import CDVAE, SMALL, WEIGHTS, losses, scaled_parameters, total_loss

BATCH_SIZE = 64
DRAWS = 4
"""Noise levels at which each validation crystal is judged."""


def new_model(groups: list[Cells]) -> CDVAE:
    """Return networks with random weights and the statistics of the lattices of the training set."""
    model = CDVAE(**SMALL)
    model.fit(torch.cat([scaled_parameters(cells.lattice, cells.numbers.shape[1]) for cells in groups]))
    return model


def train(model: CDVAE, splits: dict[str, list[Cells]], arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Train until the hours are over, saving on the way."""
    state = training.Training.begin(model)
    training.resume(state, arguments, runtime)
    fresh = state.runtime(runtime)
    generator, stream = fresh.generator(0), iter(Batches(splits['train'], BATCH_SIZE, fresh))

    def next_losses() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        cells, rows = next(stream)
        parts = losses(model, *cells.rows(rows), generator=generator)
        return total_loss(parts), parts

    def held_out() -> dict[str, float]:
        generator = torch.Generator().manual_seed(arguments.seed)
        return training.mean_losses(
            splits['validation'], DRAWS, lambda *cells: losses(model, *cells, generator=generator)
        )

    def save() -> None:
        training.write(
            state,
            held_out,
            arguments=arguments,
            name='cdvae',
            card=arguments.output / 'cdvae' / 'card.json',
            architecture='cdvae',
            configuration={'network': SMALL, 'weights': WEIGHTS, 'batch_size': BATCH_SIZE},
            elements=SYMBOLS[:MAX_ATOMIC_NUMBER],
        )

    training.train(state, next_losses, save, arguments=arguments, batch_size=BATCH_SIZE, clock=time.process_time)


def main() -> None:
    """Read the arguments and train."""
    arguments, runtime, cells = training.prepared(__doc__, MAX_ATOMIC_NUMBER)
    train(new_model(cells['train']), cells, arguments, runtime)


if __name__ == '__main__':
    main()
