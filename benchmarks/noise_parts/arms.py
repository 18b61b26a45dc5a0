"""What is done to the labels in the benchmark `noise`, and the recoveries that are set against it.

All of it concerns the r2SCAN labels of the training split, which stand for the costly level of a campaign; those at PBE
and all that errors are measured on stay as they are.
"""

from __future__ import annotations

import dataclasses
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch

NONE: dict[str, t.Any] = {'loss': 'square', 'outliers': 'keep', 'unconverged': 'keep'}
"""A training without any recovery."""

HUBER = {**NONE, 'loss': 'huber'}
COOK = {**HUBER, 'outliers': 'leave_out'}

LABELS = 150
"""Crystals of the training split with r2SCAN labels."""

MISSING = 0.2
UNCONVERGED = 0.05
OTHER_BASIS = 0.5
OVERLAP = 30
"""Crystals with labels in both bases."""

SMALL_BASIS = Level('SevenNet-MF-0 r2SCAN, small basis', Fidelity.SCAN)

Spoil = t.Callable[[LabelledBatch, np.random.Generator], LabelledBatch]


class Arm(t.NamedTuple):
    """One training.

    :param spoil: returns the labels that it gets.
    :param recovery: its ``recovery`` options.
    """

    noise: str
    name: str
    spoil: Spoil
    recovery: dict[str, t.Any]


def start(labels: LabelledBatch, seed: int) -> LabelledBatch:
    """Return the crystals with r2SCAN labels on ``LABELS`` of the training split, which the seed chooses.

    A fifth of the formulas, the same for all seeds, is for validation.
    """
    formulas = np.unique(labels.groups)
    held_out = set(np.random.default_rng(0).permutation(formulas)[: len(formulas) // 5].tolist())
    split = np.array([SPLITS.index('validation' if group in held_out else 'train') for group in labels.groups])
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(split == 0))[LABELS:]
    wrong = np.zeros(labels.energies.shape, dtype=bool)
    wrong[rows, 1] = True
    return dataclasses.replace(labels.without(wrong), split=split.astype(np.int8))


def rows_of(labels: LabelledBatch) -> NDArray[np.int64]:
    """Return the crystals of the training split with an r2SCAN label."""
    return np.flatnonzero(np.isfinite(labels.energies[:, 1]) & (labels.split == 0))


def untouched(labels: LabelledBatch, rng: np.random.Generator) -> LabelledBatch:
    """Return the labels as they are."""
    return labels


def noisy(sigma: float) -> Spoil:
    """Return what adds normal noise of ``sigma`` eV/atom."""

    def spoil(labels: LabelledBatch, rng: np.random.Generator) -> LabelledBatch:
        rows = rows_of(labels)
        return with_energies(labels, rows, labels.energies[rows, 1] + rng.normal(0, sigma, len(rows)))

    return spoil


def missing(labels: LabelledBatch, rng: np.random.Generator) -> LabelledBatch:
    """Return the labels without a share ``MISSING``."""
    rows = rows_of(labels)
    return with_energies(labels, rng.permutation(rows)[: round(MISSING * len(rows))], np.nan)


def unconverged(*, flagged: bool) -> Spoil:
    """Return what adds 0.1 to 2 eV/atom to a share ``UNCONVERGED``, as iterations do that ended too early.

    :param flagged: whether the calculations say so.
    """

    def spoil(labels: LabelledBatch, rng: np.random.Generator) -> LabelledBatch:
        rows = rng.permutation(rows_of(labels))
        bad = np.sort(rows[: round(UNCONVERGED * len(rows))])
        wrong = with_energies(labels, bad, labels.energies[bad, 1] + 10 ** rng.uniform(-1, np.log10(2), len(bad)))
        doubtful = wrong.doubtful.copy()
        doubtful[bad, 1] = flagged
        return dataclasses.replace(wrong, doubtful=doubtful)

    return spoil


def two_bases(*, kept: t.Literal['mixed', 'apart']) -> Spoil:
    """Return what gives a share ``OTHER_BASIS`` of the crystals labels of a small basis, ``OVERLAP`` of them as well.

    The error of the small basis is 0.1 eV per element, drawn once, 0.05 eV/atom for each standard deviation of the
    volume per atom, and 5 meV/atom of noise.

    :param kept: both as one level, or as two levels of one rung.
    """

    def spoil(labels: LabelledBatch, rng: np.random.Generator) -> LabelledBatch:
        rows = rng.permutation(rows_of(labels))
        small = rows[: round(OTHER_BASIS * len(rows))]
        energies = labels.energies[small, 1] + basis_error(labels, rng)[small]
        if kept == 'mixed':
            return with_energies(labels, small, energies)
        levels = (labels.levels[0], SMALL_BASIS, labels.levels[1])
        apart = labels.on_levels(levels)
        apart.energies[small, 1] = energies
        apart.energies[small[OVERLAP:], 2] = np.nan
        return apart

    return spoil


def basis_error(labels: LabelledBatch, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the error of the small basis, shape (n,), eV/atom."""
    structures = labels.structures
    of_elements = rng.normal(0, 0.1, structures.species.max() + 1)
    error = np.bincount(structures.owner, of_elements[structures.species]) / structures.num_atoms
    volumes = np.log(np.abs(np.linalg.det(structures.cells)) / structures.num_atoms)
    error += 0.05 * (volumes - volumes.mean()) / volumes.std() + rng.normal(0, 0.005, len(labels))
    return error


def with_energies(labels: LabelledBatch, rows: NDArray[np.int64], values: NDArray[np.float64] | float) -> LabelledBatch:
    """Return the labels with other r2SCAN energies of some crystals."""
    energies = labels.energies.copy()
    energies[rows, 1] = values
    return dataclasses.replace(labels, energies=energies)


ARMS = (
    Arm('clean', 'none', untouched, NONE),
    Arm('clean', 'huber', untouched, HUBER),
    Arm('unconverged 5 %', 'none', unconverged(flagged=False), NONE),
    Arm('unconverged 5 %', 'huber', unconverged(flagged=False), HUBER),
    Arm('unconverged 5 %', 'huber, cook leave out', unconverged(flagged=False), COOK),
    Arm('unconverged 5 %', 'detected', unconverged(flagged=True), {**NONE, 'unconverged': 'leave_out'}),
    Arm('two bases', 'none', two_bases(kept='mixed'), NONE),
    Arm('two bases', 'two levels', two_bases(kept='apart'), NONE),
    Arm('two bases', 'one basis', two_bases(kept='apart'), {**NONE, 'one_basis': True}),
    Arm('missing 20 %', 'none', missing, NONE),
    Arm('missing 20 %', 'impute', missing, {**NONE, 'impute': True}),
    Arm('noise 50 meV', 'none', noisy(0.05), NONE),
    Arm('noise 50 meV', 'huber', noisy(0.05), HUBER),
    Arm('noise 50 meV', 'huber, cook leave out', noisy(0.05), COOK),
    Arm('noise 10 meV', 'none', noisy(0.01), NONE),
    Arm('noise 10 meV', 'huber', noisy(0.01), HUBER),
)
"""All trainings, in the order of the report; the first of each noise has no recovery."""
