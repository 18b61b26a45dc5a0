"""What a trained validator predicts for crystals: energies on every rung, their uncertainties, and the divergence."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.prediction import divergences, predict_arrays
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.params import FOLDER, option

__all__ = ('COLUMNS', 'VALIDATOR', 'add_divergences')

COLUMNS = 'divergence: D, divergence_sigma: σ(D), out_of_distribution: unfamiliar, '
"""What a validator adds to a table, D and σ(D) in eV/atom."""

VALIDATOR = option('--validator', type=FOLDER, help='Checkpoint of a validator that predicts the divergence.')

Records = Sequence[dict[str, t.Any]]


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
    arrays = predict_arrays([record['structure'] for record in records], validator, run_ml_task)
    for record, values in zip(records, divergences(arrays), strict=True):
        record.update(values)
    unfamiliar = sum(record['out_of_distribution'] for record in records)
    said = f'D = |E(PBE) − E({arrays["top"]})| in eV/atom by the validator in {validator}'
    if all(record['divergence'] is None for record in records):
        said += '; it is empty, since the validator was not trained on both levels'
    return said + (f'; {unfamiliar} are unlike all that it was trained on' if unfamiliar else '')
