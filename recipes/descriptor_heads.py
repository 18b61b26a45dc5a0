"""Train the heads of quantum descriptors that the package ships, on our own DFT.

    python recipes/descriptor_heads.py --labels recipes/labels/descriptors.npz --output DIR

The labels are those of `recipes/descriptors.py`. The split is by formula: a tenth, validation and test, is never
trained on, one in 25 calibrates σ, and each of five members leaves out another tenth of the rest. A member sees the
hidden features of one network of the shipped gap model, the volume, the composition and how many electrons its elements
bring into the calculations; five more see the last two alone. `DIR/descriptors` is the checkpoint with `card.json`
beside it; `DIR/descriptor_features.npz` spares the next run evaluating the validator.
"""

from __future__ import annotations

import argparse
import json
import time
import typing as t
from pathlib import Path

import numpy as np
from heads import NUM_MEMBERS, WIDTH, elements_of, ensemble, seen_of
from numpy.typing import NDArray
from pyscf.data import elements
from pyscf.pbc.gto import pseudo

from aiida_qagenai.calculations.espresso.wave_functions import num_frozen_core
from aiida_qagenai.common.descriptors import FIELDS, HEAD_FIELDS, LOGARITHMIC
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, save_checkpoint
from aiida_qagenai.ml.elements import composition_fractions, element_symbols
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.properties.described import HISTOGRAM, DescriptorModel, gap_checkpoint, normalised
from aiida_qagenai.ml.properties.model import ARCHITECTURE, PropertyModel, Scale
from aiida_qagenai.ml.runtime import Runtime, package_versions, setup

EPOCHS, DELTA = 150, 1.0
HELD_OUT = ('validation',)
"""Splits whose errors the card has; those of the test split are left to `benchmarks/conditioning.py`."""


SHELLS, MOST = 'sspspdspdfspd', {'s': 2, 'p': 6, 'd': 10, 'f': 14}
"""Kinds of 1s to 5d in the order in which frozen cores and pseudopotentials take them, and what a shell holds."""


def electrons_of(symbol: str) -> list[float]:
    """Return s, p and d electrons outside the frozen core, all outside of it, and all of the pseudopotential."""
    number, valence = elements.charge(symbol), float(sum(pseudo.load('gth-pbe', symbol)[0]))
    left = number - round(valence) + 2 * num_frozen_core([symbol], {symbol: valence})
    shells = dict(zip('spdf', elements.CONFIGURATION[number], strict=True))
    for kind in SHELLS:
        taken = min(MOST[kind], shells[kind], left)
        shells[kind] -= taken
        left -= taken
    return [float(shells[kind]) for kind in 'spd'] + [float(sum(shells.values())), valence]


def untrained(labels: LabelledBatch, runtime: Runtime) -> DescriptorModel:
    """Return a model without networks, on the gap model of the package, in the scale of the training split."""
    gaps, values = load_gap_model(runtime), columns(labels)[labels.split == SPLITS.index('train')]
    known = elements_of(labels)
    return DescriptorModel(
        names=HEAD_FIELDS,
        elements=known,
        networks=[],
        scale=Scale.of_labels(values, np.array([name in LOGARITHMIC for name in HEAD_FIELDS])),
        scales=np.ones(len(HEAD_FIELDS)),
        validator=gaps.validator,
        runtime=runtime,
        gaps=gaps,
        electrons=np.array([electrons_of(symbol) for symbol in element_symbols(known)]),
    )


def columns(labels: LabelledBatch) -> NDArray[np.float64]:
    """Return the fields of the heads, shape (n, fields), NaN where there is none."""
    found: NDArray[np.float64] = labels.descriptors[:, [FIELDS.index(name) for name in HEAD_FIELDS]]
    return found


def explained(found: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R² of each field, of logarithms where it spans orders, over the crystals that have it, shape (fields,)."""
    spans = np.array([name in LOGARITHMIC for name in HEAD_FIELDS])
    found, labels = (np.where(spans, np.log(np.where(spans, each, 1.0)), each) for each in (found, labels))
    residual = np.nansum((found - labels) ** 2, axis=0)
    result: NDArray[np.float64] = 1 - residual / np.nansum((labels - np.nanmean(labels, axis=0)) ** 2, axis=0)
    return result


def predicted(model: PropertyModel, inputs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what the heads say, shape (n, fields)."""
    values, _ = model.raw(inputs)
    values[:, HISTOGRAM] = normalised(values[:, HISTOGRAM])
    return values


def metrics_of(
    model: PropertyModel, inputs: list[NDArray[np.float64]], labels: LabelledBatch, splits: t.Sequence[str]
) -> dict[str, float]:
    """Return R², of logarithms where fields span orders, and mean absolute errors of every field over some splits."""
    rows = np.isin(labels.split, [SPLITS.index(split) for split in splits])
    found, truth = predicted(model, [each[rows] for each in inputs]), columns(labels)[rows]
    shares = explained(found, truth)
    errors = np.nanmean(np.abs(found - truth), axis=0)
    where = '_'.join(splits)
    return {
        f'{where}_{measure}_{name}': float(value)
        for measure, values in (('r2', shares), ('mae', errors))
        for name, value in zip(HEAD_FIELDS, values, strict=True)
    }


def write(
    model: DescriptorModel,
    labels: LabelledBatch,
    arguments: argparse.Namespace,
    metrics: dict[str, float],
    begun: float,
) -> None:
    """Write the checkpoint and its card."""
    folder, about = arguments.output / 'descriptors', arguments.labels.with_suffix('.card.json')
    source = json.loads(about.read_text(encoding='utf8'))
    info = save_checkpoint(
        folder,
        model.to_tensors(),
        role='property',
        metrics=metrics,
        architecture=ARCHITECTURE,
        configuration={
            'properties': list(HEAD_FIELDS),
            'num_members': NUM_MEMBERS,
            'network': {'width': WIDTH},
            'validator_sha256': load_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256,
            'gaps_sha256': gap_checkpoint(),
            'electrons': dict(zip(element_symbols(model.elements), model.electrons.tolist(), strict=True)),
        },
        num_parameters=sum(each.numel() for network in model.networks for each in network.parameters()),
        elements=element_symbols(model.elements),
        dataset_sha256=source['sha256'],
    )
    card = {
        'source': source['source'],
        'license': source['license'],
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10, calibration below 14',
        'num_labels': {name: int((labels.split == place).sum()) for place, name in enumerate(SPLITS)},
        'recipe': 'python recipes/descriptors.py, then python recipes/descriptor_heads.py',
        'core_minutes': (time.process_time() - begun) / 60,
        'metrics': metrics,
        'checkpoint_sha256': info.sha256,
        'versions': package_versions(),
    }
    (folder / 'card.json').write_text(json.dumps(card, indent=2) + '\n', encoding='utf8')


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--labels', type=Path, required=True, help='packed data set, with its card beside it')
    parser.add_argument('--output', type=Path, required=True, help='folder of the checkpoint and of what is kept')
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    begun, runtime = time.process_time(), setup(RuntimeConfig())
    labels = LabelledBatch.load(arguments.labels)
    values, model = columns(labels), untrained(labels, runtime)
    seen = seen_of(labels.structures, model.validator, runtime, arguments.output / 'descriptor_features.npz')
    inputs = model.inputs(labels.structures, seen)
    model.networks, model.scales = ensemble(model, inputs, labels, values, epochs=EPOCHS, delta=DELTA)
    alone = [model.formula_inputs(composition_fractions(labels.structures, model.elements))] * NUM_MEMBERS
    model.of_formulas, model.formula_scales = ensemble(model, alone, labels, values, epochs=EPOCHS, delta=DELTA)
    metrics = metrics_of(model, inputs, labels, HELD_OUT)
    for name in HEAD_FIELDS:
        print(f'{name}: R² {metrics[f"validation_r2_{name}"]:.2f}', flush=True)
    write(model, labels, arguments, metrics, begun)


if __name__ == '__main__':
    main()
