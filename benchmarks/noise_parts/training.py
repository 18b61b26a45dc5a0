"""The trainings of the benchmark `noise`, in this process, by the tasks `train` and `predict`."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import typing as t
from pathlib import Path

import numpy as np

from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.ml.cli import RESULTS_NAME, main
from noise_parts.arms import Arm, rows_of, start

NUM_MEMBERS = 2
ROOT_STEPS = 400
STEPS = 80
"""Of each level above PBE."""

LEARNING_RATE = 5e-3


def run(labels: LabelledBatch, arm: Arm, seed: int, work: Path) -> dict[str, t.Any]:
    """Train one arm and return its errors.

    :param labels: undamaged.
    :param work: folder that keeps the validator of PBE.
    """
    whole = start(labels, seed)
    root = _root(whole, work)
    spoilt = arm.spoil(whole, np.random.default_rng(1000 + seed))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spoilt.save(folder / 'dataset.npz')
        held_out = np.flatnonzero(whole.split == SPLITS.index('validation'))
        whole.structures.select(held_out).save(folder / 'structures.npz')
        config = {
            **_config(seed, STEPS * (len(spoilt.levels) - 1), dict(arm.recovery), steps_above=0.98),
            'initial_checkpoint': str(root.resolve()),
        }
        results = command(folder, 'train', config)
        command(folder, 'predict', {'validator': 'validator', 'structures': 'structures.npz'})
        energies = load_arrays(folder / 'predictions.npz')['energies'][:, :2]
    errors = energies - labels.energies[held_out]
    differences = np.diff(errors, axis=1)
    found = {
        'seed': seed,
        'noise': arm.noise,
        'arm': arm.name,
        'error': round(float(np.abs(differences).mean()), 6),
        'rmse': round(float((differences**2).mean() ** 0.5), 6),
        'error_r2scan': round(float(np.abs(errors[:, 1]).mean()), 6),
    }
    return {**found, **_detected(whole, spoilt, results)}


def _detected(whole: LabelledBatch, spoilt: LabelledBatch, results: dict[str, t.Any]) -> dict[str, int]:
    """Return how many r2SCAN labels are far off, and how many of them and of the others were named as outliers."""
    if spoilt.levels != whole.levels:
        return {}
    rows = rows_of(spoilt)
    off = np.abs(spoilt.energies[rows, 1] - whole.energies[rows, 1]) >= 0.1
    wrong = set(spoilt.structures.identifiers[rows[off]].tolist())
    named = {each['identifier'] for each in results.get('outlying_labels', ()) if each['level'] == spoilt.levels[1].tag}
    return {
        'wrong': len(wrong),
        'right': len(rows) - len(wrong),
        'found': len(named & wrong),
        'false': len(named - wrong),
    }


def _root(whole: LabelledBatch, work: Path) -> Path:
    """Return the folder of the validator of PBE that all arms start from."""
    folder = work / 'root'
    if not (folder / 'validator').exists():
        folder.mkdir(exist_ok=True)
        whole.on_levels(whole.levels[:1]).save(folder / 'dataset.npz')
        command(folder, 'train', _config(0, ROOT_STEPS, {}, steps_above=0.4))
    return folder / 'validator'


def _config(seed: int, steps: int, recovery: dict[str, t.Any], *, steps_above: float) -> dict[str, t.Any]:
    return {
        'role': 'validator',
        'dataset': 'dataset.npz',
        'output': 'validator',
        'steps': steps,
        'batch_size': 16,
        'learning_rate': LEARNING_RATE,
        'seed': seed,
        'options': {'num_members': NUM_MEMBERS, 'steps_above': steps_above, 'recovery': recovery},
    }


def command(folder: Path, task: str, config: dict[str, t.Any]) -> dict[str, t.Any]:
    """Run a task in ``folder`` and return what it says of itself; its progress goes to the standard error."""
    (folder / 'config.json').write_text(json.dumps(config))
    with contextlib.chdir(folder), contextlib.redirect_stdout(sys.stderr):
        status = main([task, '--config', 'config.json'])
    results: dict[str, t.Any] = json.loads((folder / RESULTS_NAME).read_text())
    if status:
        sys.exit(f'the task `{task}` failed: {results["error"]["message"]}')
    return results
