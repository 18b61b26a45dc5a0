"""Figures with what they are counted from: a value, its bootstrap interval, the denominator, the definition."""

from __future__ import annotations

import dataclasses
import typing as t
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ('CONFIDENCE', 'RESAMPLES', 'Figure', 'bootstrap_interval', 'mean', 'share')

CONFIDENCE = 0.95
"""Level of all intervals."""

RESAMPLES = 2000
"""Draws of the bootstrap."""

_BATCH = 100
"""Resamples that are held at once: 20 MB for 25,000 structures."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of an evaluation.

    :param name: such as ``match-rate-1``.
    :param value: ``None`` where nothing could be counted.
    :param interval: bootstrap interval at the level ``CONFIDENCE``, ``None`` where there is no value.
    :param numerator: structures that count, for shares.
    :param denominator: structures that the figure is about.
    :param definition: what is counted, with every threshold.
    :param unit: empty for shares.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None
    numerator: int | None
    denominator: int
    definition: str
    unit: str = ''

    def to_dict(self) -> dict[str, t.Any]:
        """Return a record of plain JSON types."""
        return {**dataclasses.asdict(self), 'interval': None if self.interval is None else list(self.interval)}


def share(name: str, flags: Sequence[bool] | NDArray[np.bool_], definition: str, *, seed: int = 0) -> Figure:
    """Return the share of structures for which a flag is true."""
    values = np.asarray(flags, dtype=np.float64)
    number = int(values.sum())
    value = number / len(values) if len(values) else None
    return Figure(name, value, bootstrap_interval(values, seed=seed), number, len(values), definition)


def mean(
    name: str, values: Sequence[float | None], definition: str, *, missing: float | None = None, seed: int = 0
) -> Figure:
    """Return the mean of the known values; the bootstrap draws the unknown ones as well.

    :param missing: counts in place of an unknown value; by default unknown values are left out of the mean.
    """
    array = np.array([missing if value is None else value for value in values], dtype=np.float64)
    known = np.isfinite(array)
    value = float(array[known].mean()) if known.any() else None
    interval = None if value is None else bootstrap_interval(array, _mean_of_known, seed=seed)
    return Figure(name, value, interval, None, int(known.sum()), definition)


def bootstrap_interval(
    values: NDArray[np.float64],
    statistic: Callable[..., t.Any] = np.mean,
    *others: NDArray[np.float64],
    vectorized: bool = True,
    distance: bool = False,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of independent structures, ``None`` where there is none.

    :param values: one per structure; they are drawn with repetition.
    :param statistic: of ``values`` and ``others``; takes ``axis`` where it is ``vectorized``.
    :param others: further samples, each drawn on its own.
    :param distance: whether the statistic is a distance between samples, which drawing with repetition enlarges: then
        the interval is moved back by the mean of that, and ends at 0.
    """
    from scipy.stats import bootstrap

    samples = (values, *others)
    if min(len(sample) for sample in samples) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # a resample without a known value
        found = bootstrap(
            samples,
            statistic,
            n_resamples=RESAMPLES,
            batch=_BATCH,
            vectorized=vectorized,
            confidence_level=CONFIDENCE,
            method='percentile',
            rng=np.random.default_rng(seed),
        )
    drawn = found.bootstrap_distribution
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if distance:
        shift = float(statistic(*samples)) - float(drawn.mean())
        low, high = max(0.0, low + shift), max(0.0, high + shift)
    return float(low), float(high)


def _mean_of_known(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return t.cast(NDArray[np.float64], np.nanmean(values, axis=axis))
