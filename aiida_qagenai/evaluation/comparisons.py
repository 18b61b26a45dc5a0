"""Comparisons of arms that were declared before a run: Welch tests, effect sizes, and what a run can show at all.

One protocol for all of them: two-sided Welch tests, the p values of all declared comparisons adjusted together (Y.
Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57, 289 (1995)), a bootstrap interval of the difference of the means beside
each. What was not declared cannot be added, and what was declared cannot be left out.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.figures import CONFIDENCE, bootstrap_interval

__all__ = (
    'Compared',
    'Declared',
    'Needed',
    'Power',
    'cohens_d',
    'compare_declared',
    'glass_delta',
    'number_needed',
    'power_by_simulation',
    'smallest_number_of_runs',
)

Values = Sequence[float] | NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Declared:
    """A comparison that was declared before the run.

    :param arm: what is expected to differ.
    :param control: what it is compared with.
    """

    arm: str
    control: str


@dataclasses.dataclass(frozen=True)
class Compared:
    """What came out of a declared comparison.

    :param difference: mean of the arm minus mean of the control, in their unit.
    :param interval: its bootstrap interval at the level ``CONFIDENCE``; None with fewer than two runs.
    :param p_value: two-sided, of Welch's test.
    :param adjusted_p_value: the false discovery rate at which it would be significant, over all declared comparisons.
    :param cohens_d: difference in units of the pooled standard deviation; None if that is 0.
    :param glass_delta: difference in units of the standard deviation of the control; None if that is 0.
    """

    arm: str
    control: str
    num_arm: int
    num_control: int
    difference: float
    interval: tuple[float, float] | None
    p_value: float
    adjusted_p_value: float
    cohens_d: float | None
    glass_delta: float | None

    def is_significant(self, rate: float = 0.05) -> bool:
        """Return whether the arm differs from its control at a false discovery ``rate``."""
        return self.adjusted_p_value <= rate


def compare_declared(declared: Sequence[Declared], samples: Mapping[str, Values], *, seed: int = 0) -> list[Compared]:
    """Return what came out of every declared comparison, in their order.

    Samples without any spread that have equal means do not differ (p = 1); with other means they do (p = 0).

    :param samples: one value per independent run, by arm.
    :param seed: of the bootstrap.
    :raises InvalidInputError: if nothing or the same twice was declared, or an arm has fewer than two finite values.
    """
    from scipy.stats import false_discovery_control, ttest_ind

    if not declared or len(set(declared)) < len(declared):
        raise InvalidInputError('declare one or more comparisons, each once')
    pairs = [(_sample(samples, each.arm), _sample(samples, each.control)) for each in declared]
    p_values = [
        float(ttest_ind(*pair, equal_var=False).pvalue) if _spread(pair) else float(pair[0].mean() == pair[1].mean())
        for pair in pairs
    ]
    adjusted = false_discovery_control(p_values)
    rows = zip(declared, pairs, p_values, adjusted, strict=True)
    return [
        Compared(
            arm=each.arm,
            control=each.control,
            num_arm=len(arm),
            num_control=len(control),
            difference=float(arm.mean() - control.mean()),
            interval=bootstrap_interval(arm, _difference, control, seed=seed),
            p_value=p_value,
            adjusted_p_value=float(rate),
            cohens_d=cohens_d(arm, control),
            glass_delta=glass_delta(arm, control),
        )
        for each, (arm, control), p_value, rate in rows
    ]


def cohens_d(arm: Values, control: Values) -> float | None:
    """Return the difference of the means in units of the pooled standard deviation, or None if that is 0.

    J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), Eq 2.5.1, with n − 1 in the variances.

    :raises InvalidInputError: with fewer than two values of either.
    """
    first, second = _values(arm), _values(control)
    freedom = (len(first) - 1, len(second) - 1)
    pooled = math.sqrt((freedom[0] * first.var(ddof=1) + freedom[1] * second.var(ddof=1)) / sum(freedom))
    return float(first.mean() - second.mean()) / pooled if pooled else None


def glass_delta(arm: Values, control: Values) -> float | None:
    """Return the difference of the means in units of the standard deviation of the control, or None if that is 0.

    G. V. Glass, Educational Researcher 5, 3 (1976): for an arm that changes the spread as well.

    :raises InvalidInputError: with fewer than two values of either.
    """
    first, second = _values(arm), _values(control)
    deviation = float(second.std(ddof=1))
    return float(first.mean() - second.mean()) / deviation if deviation else None


class Needed(t.NamedTuple):
    """Candidates to compute by an arm for one hit more than by its control (number needed to treat).

    :param number: 1 / (difference of the rates); infinite where they are equal, negative where the arm finds fewer.
    :param difference: rate of the arm minus that of the control.
    :param interval: of the difference, at the level ``CONFIDENCE``. Where it contains 0 the number is not bounded:
        D. G. Altman, BMJ 317, 1309 (1998).
    """

    number: float
    difference: float
    interval: tuple[float, float]


def number_needed(hits: int, calls: int, control_hits: int, control_calls: int) -> Needed:
    """Return how many candidates an arm has to compute for one hit more than its control finds among as many.

    The interval of the difference joins Wilson intervals of the two rates: R. G. Newcombe, Stat. Med. 17, 873 (1998),
    method 10.

    :raises InvalidInputError: if there are no calls, or more hits than calls.
    """
    from scipy.stats import binomtest

    if not (0 <= hits <= calls and 0 <= control_hits <= control_calls and calls and control_calls):
        raise InvalidInputError(f'{hits} hits of {calls} and {control_hits} of {control_calls} calls are no rates')
    rate, other = hits / calls, control_hits / control_calls
    pairs = ((hits, calls), (control_hits, control_calls))
    own, theirs = (binomtest(*pair).proportion_ci(CONFIDENCE, method='wilson') for pair in pairs)
    low = math.hypot(rate - own.low, theirs.high - other)
    high = math.hypot(own.high - rate, other - theirs.low)
    difference = rate - other
    number = 1 / difference if difference else math.inf
    return Needed(number, difference, (difference - low, difference + high))


class Power(t.NamedTuple):
    """How often a run of this size would find what is there.

    :param power: share of the simulated runs whose Welch test is significant.
    :param standard_error: of the share, from the number of simulations.
    """

    power: float
    standard_error: float


Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
"""From a generator and a shape to simulated values."""


def power_by_simulation(
    arm: Draw,
    control: Draw,
    runs: int,
    *,
    level: float = 0.05,
    comparisons: int = 1,
    simulations: int = 4000,
    seed: int = 0,
) -> Power:
    """Return the power of a two-sided Welch test between two arms, by simulation before the run.

    :param arm: draws values of the arm: from a distribution, or from pilot runs with repetition.
    :param control: likewise.
    :param runs: independent runs of each arm.
    :param level: of significance, over all comparisons.
    :param comparisons: declared comparisons; the level is divided among them, which Benjamini and Hochberg never fall
        below.
    :raises InvalidInputError: if a number is out of range.
    """
    from scipy.stats import ttest_ind

    if runs < 2 or not 0 < level < 1 or comparisons < 1 or simulations < 1:
        raise InvalidInputError('power needs runs >= 2, 0 < level < 1, comparisons >= 1 and simulations >= 1')
    rng = np.random.default_rng(seed)
    shape = (simulations, runs)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # runs drawn from few pilot runs may all be equal
        values = ttest_ind(arm(rng, shape), control(rng, shape), axis=1, equal_var=False).pvalue
    power = float((values < level / comparisons).mean())
    return Power(power, math.sqrt(power * (1 - power) / simulations))


def smallest_number_of_runs(
    arm: Draw, control: Draw, *, power: float = 0.8, most: int = 1000, **options: t.Any
) -> int | None:
    """Return the fewest runs of each arm with which a Welch test has a ``power``, or None if ``most`` have not.

    :param options: those of :func:`power_by_simulation`.
    """

    def reaches(runs: int) -> bool:
        return power_by_simulation(arm, control, runs, **options).power >= power

    high = 2
    while not reaches(high):
        if high == most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _sample(samples: Mapping[str, Values], name: str) -> NDArray[np.float64]:
    if name not in samples:
        raise InvalidInputError(f'the arm `{name}` was declared and has no runs: there are {", ".join(samples)}')
    return _values(samples[name], f'the arm `{name}`')


def _values(values: Values, what: str = 'an arm') -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise InvalidInputError(f'{what} needs two or more finite values, one per run')
    return array


def _spread(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> bool:
    return any(float(np.ptp(values)) > 0 for values in pair)


def _difference(first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return t.cast(NDArray[np.float64], first.mean(axis=axis) - second.mean(axis=axis))
