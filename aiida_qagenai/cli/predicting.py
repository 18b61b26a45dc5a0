"""What a trained validator predicts for crystals: energies on every rung, their uncertainties, and the divergence."""

from __future__ import annotations

import math
import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.params import FOLDER, option

if t.TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymatgen.core import Structure

__all__ = ('COLUMNS', 'VALIDATOR', 'add_divergences', 'divergences', 'predict_structures')

COLUMNS = 'divergence: D, divergence_sigma: σ(D), out_of_distribution: unfamiliar, '
"""What a validator adds to a table, D and σ(D) in eV/atom."""

VALIDATOR = option('--validator', type=FOLDER, help='Checkpoint of a validator that predicts the divergence.')

PREDICTIONS = 'predictions.npz'

Records = Sequence[dict[str, t.Any]]


def predict_structures(structures: Sequence[Structure], validator: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that the task ``predict`` writes for these crystals.

    :param validator: folder of a checkpoint.
    :raises QagenaiError: if the checkpoint cannot be used.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        config = {
            'validator': str(validator.resolve()),
            'structures': 'structures.npz',
            'output': PREDICTIONS,
            'dtype': 'float64',
        }
        run_ml_task('predict', config, folder, 'predicting')
        return load_arrays(folder / PREDICTIONS)


def add_divergences(records: Records, validator: Path | None) -> str:
    """Add to each record what a validator predicts for its `structure`, and return what to say about it.

    ``divergence`` is the absolute value of E_PBE − E_top (equation 3 of the paper) and ``divergence_sigma`` its
    uncertainty over the members of the ensemble, eV/atom. A crystal that is far from all that the validator was trained
    on is out of its distribution.

    :param validator: folder of a checkpoint; nothing is added without one.
    :raises QagenaiError: if the checkpoint cannot be used.
    """
    if validator is None:
        return ''
    arrays = predict_structures([record['structure'] for record in records], validator)
    for record, values in zip(records, divergences(arrays), strict=True):
        record.update(values)
    unfamiliar = sum(record['out_of_distribution'] for record in records)
    said = f'D = |E(PBE) − E({arrays["top"]})| in eV/atom by the validator in {validator}'
    if all(record['divergence'] is None for record in records):
        said += '; it is empty, since the validator was not trained on both levels'
    return said + (f'; {unfamiliar} are unlike all that it was trained on' if unfamiliar else '')


def divergences(arrays: dict[str, NDArray[t.Any]]) -> list[dict[str, t.Any]]:
    """Return divergence, uncertainty and the marks of each crystal, by their names."""
    names = ('divergence_signed', 'divergence_sigma', 'out_of_distribution', 'magnetic', 'f_electrons')
    found = []
    for signed, sigma, outside, magnetic, f_electrons in zip(*(arrays[name].tolist() for name in names), strict=True):
        finite = math.isfinite(signed)
        found.append(
            {
                'divergence': abs(signed) if finite else None,
                'divergence_sigma': sigma if finite else None,
                'top_fidelity': str(arrays['top']),
                'out_of_distribution': outside,
                'magnetic': magnetic,
                'f_electrons': f_electrons,
            }
        )
    return found
