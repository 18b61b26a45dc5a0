"""Ratios of calls over paired seeds, with bootstrap intervals."""

from __future__ import annotations

import typing as t

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000


class Ratio(t.NamedTuple):
    """A ratio of means with its 95 % interval."""

    value: float
    lower: float
    upper: float


def ratio_of_calls(slow: NDArray[np.int64], fast: NDArray[np.int64], seed: int = 0) -> Ratio:
    """Return how many times fewer calls ``fast`` needs than ``slow``: mean over mean of paired campaigns.

    Seeds are drawn with repetition, for both arms together (percentile bootstrap).

    :param slow: calls of each seed, shape (s,).
    :param fast: calls of the same seeds, shape (s,).
    """
    rows = np.random.default_rng(seed).integers(0, len(slow), (RESAMPLES, len(slow)))
    ratios = slow[rows].mean(axis=1) / fast[rows].mean(axis=1)
    lower, upper = np.quantile(ratios, (0.025, 0.975))
    return Ratio(float(slow.mean() / fast.mean()), float(lower), float(upper))
