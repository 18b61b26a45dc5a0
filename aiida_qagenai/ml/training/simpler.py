"""Whether a linear correction of the level below would do as well as what a level has learned."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.level import LevelTree
from aiida_qagenai.evaluation.contests import corrected_error
from aiida_qagenai.ml.alternatives.regressions import Trend
from aiida_qagenai.ml.progress import Record

__all__ = ('compare_with_linear',)

FOLDS = 5
MIN_LABELS = 10

Values = NDArray[np.float64]


def compare_with_linear(
    record: Record,
    tree: LevelTree,
    names: t.Sequence[str],
    *,
    predicted: Values,
    labels: Values,
    fractions: Values,
    groups: NDArray[np.str_],
) -> None:
    """Add the errors of a linear correction of the level below to the metrics, and warn where it is better.

    Both are judged on the same structures: the level by members that did not see them, the correction (shift, slope and
    elements of what such members say on the level below) by cross-validation over the formulas.

    :param names: what metrics call each level.
    :param predicted: out-of-bag energies on the L levels, shape (n, L), eV/atom, NaN where no two members count.
    :param labels: shape (n, L), eV/atom, NaN where missing.
    :param fractions: atomic fractions, shape (n, elements).
    :param groups: formulas, shape (n,).
    """
    for level, parent in enumerate(tree.parents):
        if parent < 0:
            continue
        rows = np.flatnonzero(np.isfinite(predicted[:, [level, parent]]).all(axis=1) & np.isfinite(labels[:, level]))
        formulas = np.unique(groups[rows])
        if len(rows) < MIN_LABELS or len(formulas) < 2 * FOLDS:
            continue
        folds = np.searchsorted(formulas, groups[rows]) % FOLDS
        truth, below = labels[rows, level], predicted[rows, parent]
        linear = np.zeros(len(rows))
        for fold in range(FOLDS):
            shown = np.where(folds == fold, np.nan, truth)
            trend = Trend(np.column_stack([fractions[rows], below]), shown - below)
            linear[folds == fold] = (below + trend.values)[folds == fold]
        own, other = (np.abs(each - truth) for each in (predicted[rows, level], linear))
        record.metrics[f'out_of_bag_linear_mae_{names[level]}'] = float(other.mean())
        gains = np.array([(own - other)[folds == fold].mean() for fold in range(FOLDS)])
        if gains.mean() > corrected_error(gains, FOLDS):
            record.warn(
                f'on `{tree.levels[level].tag}` a linear correction of `{tree.levels[parent].tag}` is better than what '
                f'was learned from {len(rows)} labels: {other.mean():.3f} against {own.mean():.3f} eV/atom out of bag; '
                '`aiida-qagenai model contest` compares further ways'
            )
