"""Errors of a trained ensemble on labels, by level, as metrics of its checkpoint."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

__all__ = ('metric_names', 'record_derivative_errors', 'record_errors')

MAX_DERIVATIVES = 512


def record_derivative_errors(
    record: Record, name: str, ensemble: Ensemble, labels: LabelledBatch, *, runtime: Runtime, batch_size: int
) -> None:
    """Add the mean absolute error of the forces, eV/Å per component, and stresses, eV/Å3, of each level to the metrics.

    :param labels: of which at most ``MAX_DERIVATIVES`` structures a level are taken, drawn with the seed of the run.
    """
    for index, key in enumerate(metric_names(ensemble.tree)):
        forces, stresses = labels.has_forces[:, index], np.isfinite(labels.stresses[:, index, 0, 0])
        rows = np.flatnonzero(forces | stresses)
        if not len(rows):
            continue
        if len(rows) > MAX_DERIVATIVES:
            rows = np.sort(np.random.default_rng(runtime.seed).choice(rows, MAX_DERIVATIVES, replace=False))
        chosen = labels.select(rows)
        graphs, _ = model_graphs(chosen.structures, ensemble.elements, ensemble.cutoff, runtime.dtype)
        predicted = ensemble.derivatives(graphs, index, runtime.device, batch_size)
        truth = (chosen.forces[:, index], chosen.stresses[:, index])
        for quantity, values, true in zip(('force', 'stress'), predicted, truth, strict=True):
            errors = np.abs(values - true)
            if np.isfinite(errors).any():
                record.metrics[f'{name}_{quantity}_mae_{key}'] = float(np.nanmean(errors))


def record_errors(record: Record, name: str, errors: NDArray[np.float64], tree: LevelTree) -> None:
    """Add the mean absolute error of each level, eV/atom, to the metrics.

    :param errors: on the levels of ``tree``, shape (n, L), NaN where there is no label.
    """
    for key, column in zip(metric_names(tree), errors.T, strict=True):
        found = column[np.isfinite(column)]
        if len(found):
            record.metrics[f'{name}_mae_{key}'] = float(np.abs(found).mean())


def metric_names(tree: LevelTree) -> list[str]:
    """Return what metrics call each level: by the rung that it speaks for, or by rung and tag."""
    return [
        level.rung.label if tree.on_rung(level.rung) == index else f'{level.rung.label} ({level.tag})'
        for index, level in enumerate(tree.levels)
    ]
