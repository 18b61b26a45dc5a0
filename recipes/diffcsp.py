"""Train the arm `diffcsp` of the benchmarks on the crystals that train the shipped generator.

    python recipes/diffcsp.py --data /path/to/shared/data --output DIR --hours 1 [--resume]

Data, splits and excluded formulas are those of `recipes/foundation.py`; cells are Niggli-reduced, as published. The
hours are processor time of one core.
`DIR/diffcsp` is a checkpoint of the averaged weights in half precision, written every ten minutes, with `card.json`
about its data in it; `DIR/state.pt` is what `--resume` continues from. To change the arm, put the folder in the
place of `benchmarks/arms/diffcsp_checkpoint`.
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

from arms.csp_diffusion import STEPS, Schedule, losses
from arms.cspnet import MAX_ATOMIC_NUMBER, SMALL, CSPNet

BATCH_SIZE = 128
DRAWS = 4
"""Noise levels at which each validation crystal is judged."""


def train(model: CSPNet, splits: dict[str, list[Cells]], arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Train until the hours are over, saving on the way."""
    state, schedule = training.Training.begin(model), Schedule.build()
    training.resume(state, arguments, runtime)
    fresh = state.runtime(runtime)
    generator, stream = fresh.generator(0), iter(Batches(splits['train'], BATCH_SIZE, fresh))

    def next_losses() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        cells, rows = next(stream)
        parts = losses(model, schedule, *cells.rows(rows), generator=generator)
        return torch.stack(list(parts.values())).sum(), parts

    def held_out() -> dict[str, float]:
        generator = torch.Generator().manual_seed(arguments.seed)
        return training.mean_losses(
            splits['validation'], DRAWS, lambda *cells: losses(model, schedule, *cells, generator=generator)
        )

    def save() -> None:
        training.write(
            state,
            held_out,
            arguments=arguments,
            name='diffcsp',
            card=arguments.output / 'diffcsp' / 'card.json',
            architecture='diffcsp',
            configuration={'network': SMALL, 'steps': STEPS, 'batch_size': BATCH_SIZE},
            elements=SYMBOLS[:MAX_ATOMIC_NUMBER],
        )

    training.train(state, next_losses, save, arguments=arguments, batch_size=BATCH_SIZE, clock=time.process_time)


def main() -> None:
    """Read the arguments and train."""
    arguments, runtime, cells = training.prepared(__doc__, MAX_ATOMIC_NUMBER)
    train(CSPNet(**SMALL), cells, arguments, runtime)


if __name__ == '__main__':
    main()
