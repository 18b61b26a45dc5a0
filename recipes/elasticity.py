"""Train the heads of bulk and shear moduli that the package ships, on published elastic tensors.

    python recipes/elasticity.py --data /path/to/shared/data --output DIR

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0) with at most 20 atoms and a
published bulk and shear modulus (Voigt–Reuss–Hill, PBE). A tenth of all formulas, by their hash, is never trained on,
one in 25 calibrates σ, and each of five members leaves out another tenth of the rest. A member sees the latent features
of one member of the shipped validator, the volume and the composition, and predicts logarithms. `DIR/foundation` is the
checkpoint with `card.json` beside it. `DIR/crystals.npz` and `DIR/moduli_features.npz` spare the next run reading the
crystals and evaluating the validator.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import elasticity_data
import numpy as np
from crystals import FILES
from elasticity_data import Labelled, labelled_crystals
from heads import NUM_MEMBERS, WIDTH, elements_of, ensemble, seen_of
from numpy.typing import NDArray

from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, save_checkpoint
from aiida_qagenai.ml.elements import element_symbols
from aiida_qagenai.ml.properties.model import ARCHITECTURE, PropertyModel, Scale
from aiida_qagenai.ml.runtime import package_versions, setup
from aiida_qagenai.ml.validator.ensemble import Ensemble

EPOCHS = 40


def errors_of(
    model: PropertyModel, inputs: list[NDArray[np.float64]], crystals: Labelled, split: str
) -> dict[str, float]:
    """Return mean absolute errors (GPa) and mean relative errors of a split."""
    rows = crystals.split == SPLITS.index(split)
    found, _ = model.raw([each[rows] for each in inputs])
    errors = np.abs(found - crystals.moduli[rows])
    measures = {'mae': errors.mean(axis=0), 'mape': (errors / crystals.moduli[rows]).mean(axis=0)}
    return {
        f'{split}_{measure}_{name}': float(value)
        for measure, values in measures.items()
        for name, value in zip(PROPERTIES, values, strict=True)
    }


def write(
    model: PropertyModel, crystals: Labelled, arguments: argparse.Namespace, metrics: dict[str, float], begun: float
) -> None:
    """Write the checkpoint and its card."""
    names = dict.fromkeys((*FILES, *elasticity_data.FILES))
    files = {name: hashlib.sha256((arguments.data / name).read_bytes()).hexdigest() for name in names}
    counts = {name: int((crystals.split == place).sum()) for place, name in enumerate(SPLITS)}
    info = save_checkpoint(
        arguments.output / 'foundation',
        model.to_tensors(),
        role='property',
        metrics=metrics,
        architecture=ARCHITECTURE,
        configuration={
            'properties': list(PROPERTIES),
            'num_members': NUM_MEMBERS,
            'network': {'width': WIDTH},
            'validator_sha256': load_checkpoint(VALIDATOR_FOUNDATION, 'validator')[1].sha256,
        },
        num_parameters=sum(each.numel() for network in model.networks for each in network.parameters()),
        elements=element_symbols(model.elements),
        dataset_sha256=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    )
    card = {
        'source': 'Materials Project: elastic tensors at PBE, Voigt–Reuss–Hill (de Jong 2015; matminer 0.3.1, matcalc)',
        'license': 'CC BY 4.0',
        'split': 'sha256 of the reduced formula modulo 100: validation below 5, test below 10, calibration below 14',
        'max_atoms': int(crystals.structures.num_atoms.max()),
        'smallest_modulus': elasticity_data.SMALLEST,
        'files': files,
        'num_labels': {name: count for name, count in counts.items() if name != 'test'},
        'recipe': 'python recipes/elasticity.py',
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
    crystals = labelled_crystals(arguments.data, arguments.output / 'crystals.npz')
    validator = Ensemble.from_checkpoint(*load_checkpoint(VALIDATOR_FOUNDATION, 'validator'), runtime.dtype)
    seen = seen_of(crystals.structures, validator, runtime, arguments.output / 'moduli_features.npz')
    number = len(PROPERTIES)
    scale = Scale.of_logarithms(number)
    model = PropertyModel(tuple(PROPERTIES), elements_of(crystals), [], scale, np.ones(number), validator, runtime)
    inputs = model.inputs(crystals.structures, seen)
    model.networks, model.scales = ensemble(model, inputs, crystals, crystals.moduli, epochs=EPOCHS)
    metrics = errors_of(model, inputs, crystals, 'validation')
    print(model.scales, metrics, flush=True)
    write(model, crystals, arguments, metrics, begun)


if __name__ == '__main__':
    main()
