"""Powers with which something grows, by least squares of logarithms."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np
from scipy.stats import linregress
from scipy.stats import t as student


class Power(t.NamedTuple):
    """value = factor · size^power, with the 95 % interval of the power.

    :param center: mean logarithm of the sizes.
    :param level: standard error of the fit there.
    :param slope: standard error of the power.
    :param quantile: of Student's distribution.
    """

    power: float
    lower: float
    upper: float
    intercept: float
    center: float
    level: float
    slope: float
    quantile: float

    def at(self, size: float) -> tuple[float, float, float]:
        """Return the mean value at a size, with its 95 % interval, which holds if the power does there."""
        x = float(np.log(size))
        middle = self.intercept + self.power * x
        half = self.quantile * float(np.hypot(self.level, self.slope * (x - self.center)))
        return float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half))


def power_of(rows: Sequence[tuple[float, float]]) -> Power:
    """Return how values grow with sizes.

    :param rows: size and value of each run; three or more.
    """
    sizes, values = np.log(np.array(rows, dtype=float)).T
    fit = linregress(sizes, values)
    quantile = float(student.ppf(0.975, len(rows) - 2))
    residual = values - fit.intercept - fit.slope * sizes
    level = float(np.sqrt(residual @ residual / (len(rows) - 2) / len(rows)))
    half = quantile * float(fit.stderr)
    return Power(
        float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, float(fit.intercept), float(sizes.mean()),
        level, float(fit.stderr), quantile,
    )  # fmt: skip
