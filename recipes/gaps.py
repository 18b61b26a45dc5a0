"""Train the model of band gaps that the package ships, on published gaps at PBE, HSE06, GLLB-SC and SCAN.

    python recipes/gaps.py --data /path/to/shared/data --output DIR

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0) with at most 20 atoms and a gap
at some level. A tenth of all formulas, by their hash, is never trained on, one in 25 calibrates σ, and each of five
members leaves out another tenth of the rest. A member for crystals sees the latent features of one member of the
shipped validator, the volume and the composition; a member for compositions the latter alone. `DIR/foundation` is the
checkpoint in half precision with `card.json` beside it. `DIR/crystals.npz` and `DIR/features.npz` spare the next run
reading the crystals and evaluating the validator.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
import typing as t
from pathlib import Path

import gap_data
import numpy as np
import torch
from crystals import FILES, read_all
from numpy.typing import NDArray
from torch import nn
from validator_data import CALIBRATION, split_of

from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, save_checkpoint
from aiida_qagenai.ml.elements import composition_fractions, element_symbols
from aiida_qagenai.ml.gaps.model import KINDS, GapModel, combined, raw_gaps
from aiida_qagenai.ml.gaps.network import GapNetwork
from aiida_qagenai.ml.latent import composition_inputs, latent_features, structure_inputs
from aiida_qagenai.ml.runtime import Runtime, package_versions, setup
from aiida_qagenai.ml.validator.calibration import calibrated_scale
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

NUM_MEMBERS = 5
WIDTH, DROPOUT, INPUT_DROPOUT = 160, 0.2, 0.1
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 128, 2e-3, 0.05
FEW = 500
"""With fewer labels a level differs from PBE by a factor and a constant only."""


class Data:
    """Crystals, their gaps, and what the networks see of them, by kind and member."""

    def __init__(self, structures: StructureBatch, groups: NDArray[t.Any], gaps: NDArray[np.float64]) -> None:
        self.structures, self.groups, self.gaps = structures, groups, gaps
        self.split = np.array([split_of(group) for group in groups])
        self.folds = np.array([place_of(f'fold{group}') % 10 for group in groups])
        trained = self.of('train')
        self.elements = tuple(np.unique(structures.select(np.flatnonzero(trained)).species).tolist())
        self.few = [int(np.isfinite(gaps[trained, place]).sum()) < FEW for place in range(1, gaps.shape[1])]
        self.inputs: dict[str, list[NDArray[np.float64]]] = {}

    def of(self, split: str) -> NDArray[np.bool_]:
        """Return which crystals are in a split."""
        found: NDArray[np.bool_] = self.split == SPLITS.index(split)
        return found

    def see(self, latent: NDArray[np.float32]) -> None:
        """Keep what the networks see, given the latent features, shape (n, members, pools, channels)."""
        composition = composition_inputs(composition_fractions(self.structures, self.elements), self.elements)
        self.inputs = {
            'structure': [structure_inputs(each, self.structures, composition) for each in latent.swapaxes(0, 1)],
            'composition': [composition] * NUM_MEMBERS,
        }


def read(arguments: argparse.Namespace) -> Data:
    """Return the crystals with a published gap."""
    labels: LabelledBatch = read_all(arguments.data, arguments.output / 'crystals.npz')
    published, missing = gap_data.published_gaps(arguments.data), np.full(len(GAP_LEVELS), np.nan)
    gaps = np.array([published.get(name, missing) for name in labels.structures.identifiers.tolist()])
    rows = np.flatnonzero(np.isfinite(gaps).any(axis=1))
    return Data(labels.structures.select(rows), labels.groups[rows], gaps[rows])


def latent_of(data: Data, ensemble: Ensemble, runtime: Runtime, cache: Path) -> NDArray[np.float32]:
    """Return what the validator says of the crystals, shape (n, members, pools, channels).

    :param cache: NPZ file that spares evaluating it again.
    """
    if not cache.exists():
        order = np.argsort(data.structures.num_atoms, kind='stable')
        graphs, _ = model_graphs(data.structures.select(order), ensemble.elements, ensemble.cutoff, runtime.dtype)
        features = latent_features(ensemble, graphs, runtime.device)
        save_arrays(cache, {'latent': features[np.argsort(order)], 'format_version': np.array(1)})
    return load_arrays(cache)['latent']


def train(data: Data, kind: str, member: int, runtime: Runtime) -> GapNetwork:
    """Return one network, trained on the formulas of the training split but for one fold of them."""
    torch.manual_seed(NUM_MEMBERS * KINDS.index(kind) + member)
    inputs = runtime.tensor(data.inputs[kind][member])
    chosen = torch.as_tensor(np.flatnonzero(data.of('train') & (data.folds != member)))
    network = GapNetwork(inputs.shape[1], width=WIDTH, few=data.few, dropout=DROPOUT)
    network.standardise_by(inputs[chosen])
    inputs, gaps = network.standardised(inputs), runtime.tensor(data.gaps)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = len(chosen) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=EPOCHS * batches, pct_start=0.1
    )
    for _ in range(EPOCHS):
        for rows in chosen[torch.randperm(len(chosen))].split(BATCH_SIZE)[:batches]:
            optimiser.zero_grad()
            loss = network.loss(nn.functional.dropout(inputs[rows], INPUT_DROPOUT), gaps[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return network.half().float().eval()


def evaluate(data: Data, model: GapModel, kind: str, split: str) -> tuple[NDArray[np.float64], ...]:
    """Return gaps, the probability of an insulator, variances and labels of a split, shape (n, levels) each."""
    rows = data.of(split)
    pairs = zip(model.networks[kind], data.inputs[kind], strict=True)
    outputs = [raw_gaps(network, inputs[rows], model.runtime) for network, inputs in pairs]
    return (*combined(outputs), data.gaps[rows])


def calibrate(data: Data, model: GapModel, kind: str) -> NDArray[np.float64]:
    """Return the factors on σ, shape (levels,): two thirds of the errors of the calibration split are within σ."""
    gaps, _, variances, labels = evaluate(data, model, kind, 'calibration')
    errors, known = gaps - labels, np.isfinite(labels)
    common = calibrated_scale(errors[known], variances[known], prior=1.0)
    return np.array(
        [
            calibrated_scale(error[use], variance[use], prior=common)
            for error, variance, use in zip(errors.T, variances.T, known.T, strict=True)
        ]
    )


def errors_of(data: Data, model: GapModel, kind: str, split: str) -> dict[str, float]:
    """Return mean absolute errors by level, eV, and the accuracy in telling metals from insulators."""
    gaps, chance, _, labels = evaluate(data, model, kind, split)
    found = {}
    for place, name in enumerate(GAP_LEVELS):
        known = np.isfinite(labels[:, place])
        errors = np.abs(gaps - labels)[known, place]
        found[f'{split}_mae_{name}_{kind}'] = float(errors.mean()) if known.any() else math.nan
    known = np.isfinite(labels[:, 0])
    right = (chance[known, 0] > 0.5) == (labels[known, 0] > 0)
    found[f'{split}_metal_accuracy_{kind}'] = float(right.mean()) if known.any() else math.nan
    return found


def write(data: Data, model: GapModel, arguments: argparse.Namespace, metrics: dict[str, float], begun: float) -> None:
    """Write the checkpoint and its card."""
    _, validator = load_checkpoint(VALIDATOR_FOUNDATION, 'validator')
    trained = data.gaps[data.of('train')]
    files = {
        name: hashlib.sha256((arguments.data / name).read_bytes()).hexdigest() for name in (*FILES, *gap_data.FILES)
    }
    counts = {
        split: dict(zip(GAP_LEVELS.values(), np.isfinite(data.gaps[data.of(split)]).sum(axis=0).tolist(), strict=True))
        for split in ('train', 'calibration', 'validation')
    }
    means = dict(zip(GAP_LEVELS, np.nanmean(trained, axis=0).tolist(), strict=True))
    info = save_checkpoint(
        arguments.output / 'foundation',
        model.to_tensors(),
        role='descriptor',
        metrics=metrics,
        architecture='gap-mlp',
        configuration={
            'levels': list(GAP_LEVELS.values()),
            'num_members': NUM_MEMBERS,
            'network': {'width': WIDTH, 'few': data.few},
            'validator_sha256': validator.sha256,
            'mean_gaps': means,
        },
        num_parameters=sum(
            parameter.numel()
            for kind in KINDS
            for network in model.networks[kind]
            for parameter in network.parameters()
        ),
        elements=element_symbols(data.elements),
        dataset_sha256=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    )
    card = {
        'source': 'Materials Project: gaps at PBE (PBE+U); HSE06, GLLB-SC and SCAN of the same crystals (Chen 2021)',
        'license': 'CC BY 4.0',
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10, '
        f'calibration below {CALIBRATION.stop}',
        'max_atoms': int(data.structures.num_atoms.max()),
        'files': files,
        'num_labels': counts,
        'recipe': 'python recipes/gaps.py',
        'core_minutes': (time.process_time() - begun) / 60,
        'metrics': metrics,
        'checkpoint_sha256': info.sha256,
        'versions': package_versions(),
    }
    (arguments.output / 'foundation' / 'card.json').write_text(json.dumps(card, indent=2) + '\n', encoding='utf8')


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--output', type=Path, required=True, help='folder of the checkpoint and of what is kept')
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    begun, runtime = time.process_time(), setup(RuntimeConfig())
    data = read(arguments)
    ensemble = Ensemble.from_checkpoint(*load_checkpoint(VALIDATOR_FOUNDATION, 'validator'), runtime.dtype)
    data.see(latent_of(data, ensemble, runtime, arguments.output / 'features.npz'))
    model = GapModel(data.elements, {kind: [] for kind in KINDS}, {}, ensemble, runtime)
    metrics: dict[str, float] = {}
    for kind in KINDS:
        model.networks[kind] = [train(data, kind, member, runtime) for member in range(NUM_MEMBERS)]
        model.scales[kind] = calibrate(data, model, kind)
        metrics |= errors_of(data, model, kind, 'validation')
        print(kind, model.scales[kind], metrics, flush=True)
    write(data, model, arguments, metrics, begun)


if __name__ == '__main__':
    main()
