"""What geometric constraints say about finished samples, and the best of several samples."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.generator.steering import Judged, judge
from aiida_qagenai.ml.penalties import CrystalBatch

__all__ = ('Verdicts', 'best_of', 'judge_structures')

CHUNK = 128
"""Structures judged at a time."""


class Verdicts(t.NamedTuple):
    """What C constraints say about n structures.

    :param values: of the quantities, NaN where an element is absent, shape (n, C).
    :param losses: shape (n, C).
    :param satisfied: shape (n, C).
    """

    values: NDArray[np.float64]
    losses: NDArray[np.float64]
    satisfied: NDArray[np.bool_]

    def take(self, rows: Sequence[int]) -> Verdicts:
        """Return the verdicts on some of the structures."""
        chosen = np.array(rows, dtype=np.int64)
        return Verdicts(self.values[chosen], self.losses[chosen], self.satisfied[chosen])

    def arrays(
        self, options: GeometryOptions, trajectories: Sequence[NDArray[np.float32]]
    ) -> dict[str, NDArray[t.Any]]:
        """Return what is stored beside the structures.

        :param trajectories: losses of the predicted clean structure of each sample in each step, shape (S, C) each;
            shorter ones end with NaN.
        """
        longest = max((len(each) for each in trajectories), default=0)
        curves = np.full((len(trajectories), longest, len(options.constraints)), np.nan, dtype=np.float32)
        for row, each in enumerate(trajectories):
            curves[row, : len(each)] = each
        return {
            'geometry_constraints': np.array([each.text for each in options.constraints], dtype=np.str_),
            'geometry_values': self.values,
            'geometry_losses': self.losses,
            'geometry_satisfied': self.satisfied,
            'geometry_trajectories': curves,
        }

    def counts(self, options: GeometryOptions) -> dict[str, t.Any]:
        """Return how many structures there are, satisfy each constraint, and satisfy all."""
        each = zip(options.constraints, self.satisfied.sum(0).tolist(), strict=True)
        return {
            'num_structures': len(self.satisfied),
            'num_satisfied': {constraint.text: number for constraint, number in each},
            'num_satisfied_all': int(self.satisfied.all(1).sum()),
        }


def judge_structures(options: GeometryOptions, structures: StructureBatch) -> Verdicts:
    """Return what the constraints say about packed structures."""
    rows = list(structures)
    parts = [judge(options.constraints, _padded(rows[start : start + CHUNK])) for start in range(0, len(rows), CHUNK)]
    if not parts:
        none = torch.zeros(0, len(options.constraints), dtype=torch.float64)
        parts = [Judged(none, none, none.bool())]
    values, losses, satisfied = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return Verdicts(values, losses, satisfied)


def best_of(groups: Sequence[int], verdicts: Verdicts, weights: NDArray[np.float64]) -> list[int]:
    """Return the row of the best sample of each group, in the order of the groups.

    The best satisfies most constraints, and among these has the smallest weighted loss. Absent elements satisfy
    nothing.
    """
    totals = verdicts.losses @ weights
    best: dict[int, int] = {}
    for row in np.lexsort((totals, -verdicts.satisfied.sum(1))).tolist():
        best.setdefault(groups[row], row)
    return [best[group] for group in sorted(best)]


def _padded(rows: Sequence[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]]) -> CrystalBatch:
    """Return structures as a padded batch."""
    width = max(len(species) for _, species, _ in rows)
    numbers = torch.zeros(len(rows), width, dtype=torch.int64)
    fractional = torch.zeros(len(rows), width, 3, dtype=torch.float64)
    for row, (_, species, places) in enumerate(rows):
        numbers[row, : len(species)] = torch.as_tensor(species)
        fractional[row, : len(species)] = torch.as_tensor(places)
    return CrystalBatch(torch.as_tensor(np.stack([cell for cell, _, _ in rows])), fractional, numbers)
