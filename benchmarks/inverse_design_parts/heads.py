"""The shipped heads of bulk and shear moduli on held-out formulas.

The crystals are those of the Materials Project with a published elastic tensor whose formulas are left for tests, a
twentieth of all. `heads-MEASURE-mean` says what the geometric mean of the training set would give.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from figures import figure

from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.properties.model import load_property_model
from aiida_qagenai.ml.runtime import setup

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

from elasticity_data import labelled_crystals

RECORD = Path(__file__).with_name('heads.json')
PAPER = 0.14
"""MAPE of K_VRH after two rounds, by Li et al. (active learning for conditional inverse design)."""


def measure(folder: Path, work: Path) -> list[dict[str, t.Any]]:
    """Return a row for every held-out crystal."""
    crystals = labelled_crystals(folder, work / 'crystals.npz')
    rows = np.flatnonzero(crystals.held_out)
    found = load_property_model(setup(RuntimeConfig()))[0].of_structures(crystals.structures.select(rows))
    trained = crystals.moduli[crystals.split == SPLITS.index('train')]
    mean = np.exp(np.log(trained).mean(axis=0)).round(2).tolist()
    return [
        {
            'name': str(crystals.structures.identifiers[row]),
            'published': crystals.moduli[row].round(2).tolist(),
            'predicted': found.values[place].round(2).tolist(),
            'sigma': found.sigma[place].round(2).tolist(),
            'familiar': not bool(found.out_of_distribution[place]),
            'mean': mean,
        }
        for place, row in enumerate(rows)
    ]


def show(rows: list[dict[str, t.Any]]) -> None:
    """Print what the rows say."""
    arrays = {key: np.array([row[key] for row in rows]) for key in ('published', 'predicted', 'sigma', 'mean')}
    published = arrays['published']
    for place, name in enumerate(PROPERTIES):
        errors = {key: np.abs(arrays[key] - published)[:, place] for key in ('predicted', 'mean')}
        mae, by_mean = (float(errors[key].mean()) for key in ('predicted', 'mean'))
        figure(f'heads-mae-{name}', mae, 'GPa', 'geometric mean of the training set', by_mean)
        relative = float((errors['predicted'] / published[:, place]).mean())
        reference = ('Li et al., after two rounds', PAPER) if name == 'bulk_modulus' else ()
        figure(f'heads-mape-{name}', relative, '', *reference)
        within = float((errors['predicted'] <= arrays['sigma'][:, place]).mean())
        figure(f'heads-within-sigma-{name}', within, 'share', 'normal distribution', 0.683)
    figure('heads-crystals', len(rows), 'crystals')


def run(folder: Path | None, work: Path, *, quick: bool, store: bool) -> None:
    """Measure, or show what is stored where no data are given; it takes seconds, also without ``quick``."""
    if folder is None:
        show(json.loads(RECORD.read_text()))
        return
    rows = measure(folder, work)
    if store:
        RECORD.write_text('[\n' + ',\n'.join(json.dumps(row) for row in rows) + '\n]\n')
    show(rows)
