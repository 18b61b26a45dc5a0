"""What wrong labels make the shipped validator forget, with and without the guard of its fine-tuning.

    python benchmarks/forgetting.py [--quick]

Fourteen made-up Li–H crystals have labels that are off by about 1 eV/atom on the root level. 100 steps of fine-tuning
on them, with replay; then errors on the probe set are compared. Each line is one training, as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from aiida_qagenai.common.level import Level, LevelTree
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.ml.training.validator import train_validator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests' / 'fixtures'))

from toy_crystals import toy_dataset

GUARDS = (None, 0.05)


def root_level() -> Level:
    """Return the level that all others of the shipped validator stand on."""
    return LevelTree.parse(read_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].configuration['levels']).levels[0]


def main() -> None:
    """Train with each guard and print the errors on the probe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='a fifth of the steps')
    steps = 20 if parser.parse_args().quick else 100
    batch = toy_dataset(14, high=0, seed=3)
    wrong = dataclasses.replace(
        batch, levels=(root_level(),), energies=batch.energies[:, :1] + 1.0, forces=np.zeros(0), stresses=np.zeros(0)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong.save(folder / 'wrong.npz')
        for guard in GUARDS:
            record = Record()
            config = {
                'role': 'validator',
                'size': 'base',
                'steps': steps,
                'batch_size': 8,
                'learning_rate': 1e-3,
                'dataset': str(folder / 'wrong.npz'),
                'initial_checkpoint': str(VALIDATOR_FOUNDATION),
                'output': str(folder / 'tuned'),
                'options': {'max_degradation': guard},
            }
            training = parse('train', config)
            with contextlib.redirect_stdout(io.StringIO()):
                train_validator(training, setup(training), record)
            found = {key: round(value, 4) for key, value in record.metrics.items() if key.startswith('probe')}
            print(json.dumps({'max_degradation': guard, **found}), flush=True)


if __name__ == '__main__':
    main()
