"""How much the gap model gains from gaps that a campaign would compute, on crystals of other formulas."""

from __future__ import annotations

import numpy as np
from figures import figure
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.gaps.model import GapModel

COUNTS = (20, 50)
REPEATS = 10
LEVELS = ('pbe', 'hse06')


def report_learning(structures: StructureBatch, labels: NDArray[np.float64], model: GapModel) -> None:
    """Print errors after some labels were learned from, and before, over the crystals of other formulas.

    Labels at HSE06 stand for a level of theory whose gaps are others than the published ones at PBE.

    :param labels: shape (n, levels), eV.
    """
    formulas = np.array([each.composition.reduced_formula for each in structures.structures()])
    for name in LEVELS:
        place = list(GAP_LEVELS).index(name)
        rows = np.flatnonzero(np.isfinite(labels[:, place]))
        chosen, truth = structures.select(rows), labels[rows, place]
        for count in COUNTS:
            after, before = errors_of(chosen, truth, model, formulas[rows], count=count)
            figure(f'gap-learned-{name}-{count}', after, 'eV', 'nothing learned', before)


def errors_of(
    structures: StructureBatch,
    truth: NDArray[np.float64],
    model: GapModel,
    formulas: NDArray[np.str_],
    *,
    count: int,
) -> tuple[float, float]:
    """Return the mean errors of the gaps at PBE of crystals, ``count`` others having been learned from, and before.

    :param truth: shape (n,), eV.
    """
    model.learned = None
    before, errors = np.abs(model.of_structures(structures).gaps[:, 0] - truth), [np.zeros((2, 0))]
    for seed in range(REPEATS):
        learned = np.random.default_rng(seed).permutation(len(truth))[:count]
        others = np.flatnonzero(~np.isin(formulas, formulas[learned]))
        model.learn(structures.select(learned), truth[learned])
        after = np.abs(model.of_structures(structures.select(others)).gaps[:, 0] - truth[others])
        errors.append(np.array([after, before[others]]))
    model.learned = None
    after, without = np.concatenate(errors, axis=1).mean(axis=1).tolist()
    return after, without
