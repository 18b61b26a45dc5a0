"""What becomes of the labels before a training: doubtful, outlying, of another level on the rung, or missing ones.

Every switch is one of :class:`~aiida_qagenai.exchange.recovery.RecoveryOptions`. Nothing is changed silently: the
record has warnings, counts, and the names of all labels that are conspicuous.
"""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.level import last_on_rung, line_of
from aiida_qagenai.evaluation.influence import Influence, influence
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.recovery import RecoveryOptions
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.training.members import nearest_label
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('Descriptors', 'Repaired', 'describe', 'repair')

MIN_LABELS = 20
"""With fewer labels than this, outliers are not looked for and nothing is carried over."""

MAX_NAMED = 200
"""Most conspicuous labels that a record names, the largest distances first."""

DOUBTFUL_WEIGHT = 0.1
TRUSTED = 0.02
"""Error of a filled-in label, eV/atom, with which it counts half."""

FOLDS = 5
COMPOSITION = 3.0
"""Weight of the fractions of the elements against the latent features, so that references are hardly shrunk."""

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Descriptors:
    """What a linear fit knows of n structures.

    :param design: fractions of the elements and latent features, shape (n, p).
    :param predictions: of the initial checkpoint on each level, shape (n, L), eV/atom; 0 without one.
    """

    design: Values
    predictions: Values


@dataclasses.dataclass(frozen=True)
class Repaired:
    """Labels after all recoveries.

    :param labels: what is trained on.
    :param weights: how much each label counts, shape (n, L), between 0 and 1.
    :param measured: which of them were measured, so that errors against them mean something, shape (n, L).
    """

    labels: LabelledBatch
    weights: Values
    measured: Mask


def describe(
    ensemble: Ensemble,
    graphs: list[CrystalGraph],
    fractions: Values,
    *,
    trained: bool,
    runtime: Runtime,
    batch_size: int,
) -> Descriptors:
    """Return the descriptors of structures by an ensemble.

    :param fractions: of the elements, shape (n, elements).
    :param trained: whether its predictions mean anything. Features of random networks describe the surroundings of the
        atoms as well, only worse.
    """
    if not trained:
        neighbours = sum(len(graph.senders) for graph in graphs) / sum(len(graph.species) for graph in graphs)
        for member in ensemble.members:
            with torch.no_grad():
                member.mean_neighbours.fill_(max(neighbours, 1.0))
    for member in ensemble.members:
        member.to(runtime.device)
    energies, features = ensemble.evaluate(graphs, runtime.device, batch_size)
    deviation = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    predictions = energies.mean(axis=0)
    return Descriptors(
        np.hstack([COMPOSITION * fractions, standard / np.sqrt(standard.shape[1])]),
        predictions if trained else np.zeros_like(predictions),
    )


def repair(
    labels: LabelledBatch,
    describe: t.Callable[[], Descriptors],
    parents: tuple[int, ...],
    options: RecoveryOptions,
    record: Record,
) -> Repaired:
    """Return the labels that are trained on.

    :param describe: returns what is known of the structures; called where it is needed.
    :param parents: position of the parent of each level.
    :raises InvalidInputError: if no label is left.
    """
    weights = np.ones(labels.energies.shape)
    labels = _judge_doubts(labels, weights, options, record)
    needed = options.outliers != 'keep' or options.one_basis or options.impute
    known = describe() if needed else Descriptors(np.zeros((len(labels), 0)), np.zeros_like(labels.energies))
    if options.outliers != 'keep':
        labels = _judge_outliers(labels, weights, known, parents=parents, options=options, record=record)
    measured = np.isfinite(labels.energies)
    if not measured.any():
        raise InvalidInputError('no label is left to train on: see `recovery` in the options of the validator')
    if options.one_basis:
        labels = _to_one_basis(labels, weights, known, record)
    if options.impute:
        labels = _impute(labels, weights, known, parents, record)
    return Repaired(labels, weights, measured & np.isfinite(labels.energies))


def _judge_doubts(labels: LabelledBatch, weights: Values, options: RecoveryOptions, record: Record) -> LabelledBatch:
    """Return the labels without doubtful ones, or enter their weights."""
    doubtful = labels.doubtful & np.isfinite(labels.energies)
    if not doubtful.any():
        return labels
    record.counts['doubtful_labels'] = [
        {'identifier': str(labels.structures.identifiers[row]), 'level': labels.levels[level].tag}
        for row, level in np.argwhere(doubtful)[:MAX_NAMED].tolist()
    ]
    done = {'keep': 'count in full', 'down_weight': 'count a tenth', 'leave_out': 'are left out'}[options.unconverged]
    record.warn(f'{int(doubtful.sum())} labels are of calculations that cannot be trusted: they {done}')
    if options.unconverged == 'leave_out':
        return labels.without(doubtful)
    if options.unconverged == 'down_weight':
        weights[doubtful] *= DOUBTFUL_WEIGHT
    return labels


def _judge_outliers(
    labels: LabelledBatch,
    weights: Values,
    known: Descriptors,
    *,
    parents: tuple[int, ...],
    options: RecoveryOptions,
    record: Record,
) -> LabelledBatch:
    """Return the labels without outliers, or enter their weights, and name them in the record."""
    found: list[dict[str, t.Any]] = []
    distances = np.zeros(labels.energies.shape)
    for level, lower, rows, fit in _fits(labels.energies, known, parents):
        places = np.flatnonzero(fit.outliers(options.outlier_residual))
        distances[rows[places], level] = fit.distances[places] * len(rows) / 4
        found += [
            {
                'identifier': str(labels.structures.identifiers[rows[place]]),
                'level': labels.levels[level].tag,
                'compared_with': labels.levels[lower].tag if lower >= 0 else None,
                'cooks_distance': float(fit.distances[place]),
                'residual': float(fit.residuals[place]),
            }
            for place in places
        ]
    record.metrics['outlying_labels'] = float(len(found))
    if not found:
        return labels
    found.sort(key=lambda each: -each['cooks_distance'])
    record.counts['outlying_labels'] = found[:MAX_NAMED]
    done = {'report': 'count in full', 'down_weight': 'count less', 'leave_out': 'are left out'}[options.outliers]
    first = ', '.join(f'`{each["identifier"]}` ({each["level"]})' for each in found[:3])
    record.warn(
        f'{len(found)} of {int(np.isfinite(labels.energies).sum())} labels are outliers, such as {first}: they {done}'
    )
    outlying = distances > 0
    if options.outliers == 'leave_out':
        return labels.without(outlying)
    if options.outliers == 'down_weight':
        weights[outlying] /= np.maximum(1.0, distances[outlying])
    return labels


def _fits(
    energies: Values, known: Descriptors, parents: tuple[int, ...]
) -> t.Iterator[tuple[int, int, NDArray[np.int64], Influence]]:
    """Yield level, nearest level below, rows and fit of all sets of labels that are large enough to be judged.

    Labels with one on an ancestor are judged by the difference of the two, which is far smoother than either.
    """
    for level in range(energies.shape[1]):
        rows = np.flatnonzero(np.isfinite(energies[:, level]))
        nearest = np.array([nearest_label(energies[row], level, parents) for row in rows], dtype=np.int64)
        for lower in np.unique(nearest).tolist():
            chosen = rows[nearest == lower]
            if len(chosen) < MIN_LABELS:
                continue
            errors = energies[chosen, level] - known.predictions[chosen, level]
            if lower >= 0:
                errors -= energies[chosen, lower] - known.predictions[chosen, lower]
            yield level, lower, chosen, influence(known.design[chosen], errors)


def _to_one_basis(labels: LabelledBatch, weights: Values, known: Descriptors, record: Record) -> LabelledBatch:
    """Return the labels with those of other levels on a rung carried over to the last one, where that has none."""
    energies, levels = labels.energies.copy(), labels.levels
    moved = np.zeros(energies.shape, dtype=np.bool_)
    for source, level in enumerate(levels):
        target = last_on_rung(levels, level.rung)
        if target is None or target == source:
            continue
        rows = np.flatnonzero(np.isfinite(energies[:, source]) & np.isnan(energies[:, target]))
        if _carry(energies, weights, known, labels, source=source, target=target, rows=rows, record=record):
            moved[np.isfinite(labels.energies[:, source]), source] = True
    filled = dataclasses.replace(labels, energies=energies)
    return filled.without(moved)


def _impute(
    labels: LabelledBatch, weights: Values, known: Descriptors, parents: tuple[int, ...], record: Record
) -> LabelledBatch:
    """Return the labels with missing ones filled in from the nearest level below, or above, that has one."""
    energies = labels.energies.copy()
    for level in range(energies.shape[1]):
        rows = np.flatnonzero(np.isnan(labels.energies[:, level]))
        sources = np.array([_source(labels.energies[row], level, parents) for row in rows], dtype=np.int64)
        for source in np.unique(sources[sources >= 0]).tolist():
            chosen = rows[sources == source]
            _carry(energies, weights, known, labels, source=source, target=level, rows=chosen, record=record)
    return dataclasses.replace(labels, energies=energies)


def _source(energies: Values, level: int, parents: tuple[int, ...]) -> int:
    """Return the level that fills in a missing label: the nearest below with a label, else one above, else −1."""
    below = nearest_label(energies, level, parents)
    above = [k for k in range(len(parents)) if np.isfinite(energies[k]) and level in line_of(k, parents)]
    return below if below >= 0 else (above[0] if above else -1)


def _carry(
    energies: Values,
    weights: Values,
    known: Descriptors,
    labels: LabelledBatch,
    *,
    source: int,
    target: int,
    rows: NDArray[np.int64],
    record: Record,
) -> bool:
    """Enter labels of ``rows`` on ``target``, from those on ``source``, and their weights; return whether it could.

    The difference of the levels is linear in the elements and the latent features. Its error is that on formulas that
    the fit did not see.
    """
    names = f'{labels.levels[source].tag} → {labels.levels[target].tag}'
    both = np.flatnonzero(np.isfinite(labels.energies[:, [source, target]]).all(axis=1))
    if not len(rows):
        return False
    if len(both) < MIN_LABELS:
        record.warn(f'{names}: only {len(both)} structures have labels on both, so that nothing is carried over')
        return False
    difference = labels.energies[both, target] - labels.energies[both, source]
    error = _held_out_error(known.design[both], difference, labels.groups[both])
    coefficients = _solve(known.design[both], difference)
    energies[rows, target] = energies[rows, source] + known.design[rows] @ coefficients
    weights[rows, target] = weights[rows, source] * TRUSTED**2 / (TRUSTED**2 + error**2)
    record.metrics[f'carried_error {names}'] = error
    record.metrics[f'carried_labels {names}'] = float(len(rows))
    record.warn(f'{names}: {len(rows)} labels carried over, with an error of {error:.3f} eV/atom')
    return True


def _solve(design: Values, targets: Values) -> Values:
    """Return the coefficients of the robust ridge regression, whose penalty :func:`influence` chooses."""
    found = influence(design, targets)
    weights = found.weights
    weighted = design * weights[:, None]
    gram = weighted.T @ design + found.penalty * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(gram, weighted.T @ targets), dtype=np.float64)


def _held_out_error(design: Values, targets: Values, groups: NDArray[np.str_]) -> float:
    """Return the root mean square error on formulas that the fit did not see, in the unit of ``targets``."""
    _, index = np.unique(groups, return_inverse=True)
    folds = np.random.default_rng(0).permutation(index.max() + 1)[index] % FOLDS
    errors = [
        targets[folds == fold] - design[folds == fold] @ _solve(design[folds != fold], targets[folds != fold])
        for fold in np.unique(folds)
        if (folds != fold).any()
    ]
    return float(np.sqrt((np.concatenate(errors) ** 2).mean())) if errors else float(targets.std())
