"""Who wins a contest by repeated cross-validation, with paired intervals.

The folds of a cross-validation share most of their training data, so that the spread of their differences is too small
an error bar. It is corrected after C. Nadeau and Y. Bengio (Machine Learning 52, 239 (2003)): with k differences of
variance s², each from n_test against n_train structures, the variance of their mean is (1/k + n_test/n_train) s².
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import BLUE, GREY, RED, new_figure, picture_path, save_figure
from aiida_qagenai.evaluation.figures import CONFIDENCE

__all__ = ('Result', 'Standing', 'corrected_error', 'corrected_interval', 'labels_for', 'plot_contest', 'standings')


@dataclasses.dataclass(frozen=True)
class Result:
    """What one arm reached in one fold.

    :param number: labels of the target that were asked for, 0 for all.
    :param labels: labels of the target that it saw.
    :param error: mean absolute error, eV/atom.
    :param rmse: root mean square error, eV/atom.
    :param covered: share of the errors within 1.645 σ, or None if there is no σ.
    :param seconds: of one processor, for fit and predictions.
    """

    arm: str
    repeat: int
    fold: int
    number: int
    labels: int
    error: float
    rmse: float
    covered: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Standing:
    """What one arm reached at one number of labels.

    :param labels: mean number of labels of the target that it saw.
    :param error: mean of its errors over the folds, eV/atom.
    :param behind: mean difference to the best arm, eV/atom; 0 for the best itself.
    :param behind_error: corrected standard error of that difference.
    :param low: lower end of the corrected interval of the difference.
    :param high: its upper end.
    :param best: whether its error is the lowest.
    :param taken: whether it is the simplest within one standard error of the best.
    """

    arm: str
    number: int
    labels: float
    error: float
    rmse: float
    covered: float | None
    seconds: float
    behind: float
    behind_error: float
    low: float
    high: float
    best: bool
    taken: bool


def corrected_error(differences: NDArray[np.float64], folds: int) -> float:
    """Return the standard error of the mean of paired differences of a repeated cross-validation.

    :param differences: one for each fold of each repetition, shape (k,).
    :param folds: of a repetition: a fold is judged by 1/(folds − 1) as many structures as trained it.
    """
    if len(differences) < 2:
        return float('nan')
    return float(np.sqrt((1 / len(differences) + 1 / (folds - 1)) * differences.var(ddof=1)))


def corrected_interval(differences: NDArray[np.float64], folds: int) -> tuple[float, float]:
    """Return the interval of the mean of paired differences at the level ``CONFIDENCE`` (corrected t-test)."""
    half = corrected_error(differences, folds) * stats.t.ppf((1 + CONFIDENCE) / 2, max(1, len(differences) - 1))
    return float(differences.mean() - half), float(differences.mean() + half)


def standings(results: Iterable[Result], order: Sequence[str], folds: int) -> list[Standing]:
    """Return how the arms compare at each number of labels, the best first; all labels come last.

    Only folds in which every arm was measured count.

    :param order: the arms, the simplest first.
    """
    by_number: dict[int, dict[str, dict[tuple[int, int], Result]]] = {}
    for result in results:
        by_number.setdefault(result.number, {}).setdefault(result.arm, {})[result.repeat, result.fold] = result
    found = []
    for number in sorted(by_number, key=lambda each: each or np.inf):
        found += _standings_at(number, by_number[number], order, folds)
    return found


def _standings_at(
    number: int, arms: dict[str, dict[tuple[int, int], Result]], order: Sequence[str], folds: int
) -> list[Standing]:
    places = sorted(set.intersection(*(set(each) for each in arms.values())))
    if not places:
        return []
    errors = {arm: np.array([each[place].error for place in places]) for arm, each in arms.items()}
    best = min(errors, key=lambda arm: errors[arm].mean())
    behind = {arm: errors[arm] - errors[best] for arm in errors}
    close = [arm for arm in errors if behind[arm].mean() <= np.nan_to_num(corrected_error(behind[arm], folds))]
    taken = min(close, key=list(order).index)
    found = []
    for arm in sorted(errors, key=lambda each: errors[each].mean()):
        mine = [arms[arm][place] for place in places]
        low, high = corrected_interval(behind[arm], folds)
        means = {name: float(np.mean([getattr(each, name) for each in mine])) for name in ('labels', 'rmse', 'seconds')}
        found.append(
            Standing(
                arm=arm,
                number=number,
                error=float(errors[arm].mean()),
                covered=_mean([each.covered for each in mine]),
                behind=float(behind[arm].mean()),
                behind_error=corrected_error(behind[arm], folds),
                low=low,
                high=high,
                best=arm == best,
                taken=arm == taken,
                **means,
            )
        )
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def labels_for(error: float, labels: Sequence[float], errors: Sequence[float]) -> tuple[float, bool]:
    """Return how many labels a learning curve needs for an ``error``, and whether the curve reaches it.

    The curve is read between its points as straight lines of log error over log labels. Where it never gets as low, the
    number is that of its last point: at least as many are needed.

    :raises InvalidInputError: if the curve has fewer than two points.
    """
    if len(labels) < 2 or len(labels) != len(errors):
        raise InvalidInputError(f'a learning curve needs two points or more, got {len(labels)}')
    # a curve of what is reached with at most that many labels: noise must not make it rise
    x, y = np.log(labels), np.log(np.minimum.accumulate(errors))
    if np.log(error) >= y[0]:
        return float(labels[0]), True
    if np.log(error) < y[-1]:
        return float(labels[-1]), False
    place = int(np.argmax(y <= np.log(error)))
    share = (y[place - 1] - np.log(error)) / (y[place - 1] - y[place])
    return float(np.exp(x[place - 1] + share * (x[place] - x[place - 1]))), True


def plot_contest(standings: Sequence[Standing], path: str | os.PathLike[str]) -> Path:
    """Draw the error of each arm over the number of labels, and return the path.

    Arms that are taken somewhere are in colour, a dot where they are; bars are corrected standard errors of the
    distance to the best.

    :raises InvalidInputError: if the format is unknown or there is nothing to draw.
    """
    path = picture_path(path, standings)
    figure, axes = new_figure(6.0, 4.0)
    winners = list(dict.fromkeys(each.arm for each in standings if each.taken))
    names = sorted({each.arm for each in standings}, key=lambda arm: (arm not in winners, arm))
    greys = 0
    for name in names:
        mine = sorted((each for each in standings if each.arm == name), key=lambda each: each.labels)
        x, y = [each.labels for each in mine], [each.error for each in mine]
        if name in winners:
            colour = (BLUE, RED, '#228833', '#ccbb44', '#aa3377', '#66ccee')[winners.index(name) % 6]
            bars = np.nan_to_num([each.behind_error for each in mine])
            axes.errorbar(x, y, bars, color=colour, label=name, linewidth=2, capsize=2)
            taken = [(each.labels, each.error) for each in mine if each.taken]
            axes.plot(*zip(*taken, strict=True), 'o', color=colour)
        else:
            style = ('--', ':', '-.', (0, (1, 3)), (0, (5, 1)))[greys % 5]
            axes.plot(x, y, color=GREY, linestyle=style, label=name, linewidth=1)
            greys += 1
    axes.set_xscale('log')
    axes.set_yscale('log')
    axes.set_xlabel('energies of the level')
    axes.set_ylabel('mean absolute error (eV/atom)')
    axes.legend(fontsize='small', frameon=False)
    return save_figure(figure, path)
