"""The choice of the next hyperparameters to try, by Optuna (T. Akiba et al., KDD 2019), from the trials so far.

Nothing is kept between two choices: a study is built in memory from the trials that are given, and the random numbers
of a choice follow from the seed and the number of the trial. A search that was cut goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence

import numpy as np
import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel

if t.TYPE_CHECKING:
    import optuna

__all__ = (
    'Direction',
    'Range',
    'Space',
    'TriedPoint',
    'Value',
    'contains',
    'flat',
    'importances',
    'nested',
    'require_optuna',
    'suggest',
)

Value = int | float | str | bool | None
"""What a hyperparameter may be."""

Direction = t.Literal['maximize', 'minimize']
MISSING = 'a search for hyperparameters needs Optuna: pip install "aiida-qagenai[hyperparameters]"'
ATTEMPTS = 25
"""Draws until one differs from all trials before."""

FEWEST_FOR_IMPORTANCES = 10
"""Complete trials below which the importances would be those of chance."""


class Range(StrictModel):
    """All values between two bounds, which are included.

    :param log: whether the logarithm is uniform, as suits a learning rate.
    :param whole: whether only whole numbers are values.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @pydantic.model_validator(mode='after')
    def _check(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f'`low` {self.low:g} must be below `high` {self.high:g}')
        if self.log and self.low <= 0:
            raise ValueError(f'`log` needs a positive `low`, got {self.low:g}')
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f'the hyperparameter takes whole numbers, not {self.low:g} to {self.high:g}')
        return self

    @property
    def bounds(self) -> tuple[Value, Value]:
        """Return both bounds as values."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


Space = Mapping[str, tuple[Value, ...] | Range]
"""Name of a hyperparameter → its choices, or the range of its values."""


def nested(point: Mapping[str, Value]) -> dict[str, t.Any]:
    """Return hyperparameters by dotted name as sections, which nodes can hold and queries can filter on."""
    sections: dict[str, t.Any] = {}
    for name, value in point.items():
        *parents, last = name.split('.')
        target = sections
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return sections


def flat(sections: Mapping[str, t.Any], prefix: str = '') -> dict[str, t.Any]:
    """Return sections as values by dotted name; a dictionary with ``low`` or ``high`` is a value."""
    values: dict[str, t.Any] = {}
    for name, value in sections.items():
        if isinstance(value, Mapping) and not {'low', 'high'} & set(value):
            values.update(flat(value, f'{prefix}{name}.'))
        else:
            values[f'{prefix}{name}'] = value
    return values


@dataclasses.dataclass(frozen=True)
class TriedPoint:
    """A trial as the sampler sees it.

    :param value: its figure; ``None`` while it runs.
    :param failed: whether it ended without a figure.
    """

    hyperparameters: Mapping[str, Value]
    value: float | None = None
    failed: bool = False


def contains(space: Space, hyperparameters: Mapping[str, Value]) -> bool:
    """Return whether a point has exactly the hyperparameters of ``space``, each with a value in it."""
    if set(space) != set(hyperparameters):
        return False
    return all(_contains(domain, hyperparameters[name]) for name, domain in space.items())


def _contains(domain: tuple[Value, ...] | Range, value: Value) -> bool:
    if not isinstance(domain, Range):
        return value in domain
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # A database may round the last digit of a bound.
    margin = 1e-12 * max(abs(domain.low), abs(domain.high))
    is_inside = domain.low - margin <= value <= domain.high + margin
    return is_inside and (not domain.whole or float(value).is_integer())


def suggest(
    space: Space,
    trials: Sequence[TriedPoint],
    *,
    direction: Direction,
    seed: int,
    number: int,
    num_random: int = 10,
) -> dict[str, Value]:
    """Return the hyperparameters of the next trial, by the tree-structured Parzen estimator.

    :param trials: all trials so far, also those that run or have failed; those outside of ``space`` teach nothing.
    :param number: of the next trial; with ``seed`` it decides the random numbers.
    :param num_random: trials that are drawn at random before the estimator learns from the values.
    :raises InvalidInputError: if Optuna is not installed.
    """
    optuna = require_optuna()
    seeds = np.random.SeedSequence([seed, number]).generate_state(1)
    sampler = optuna.samplers.TPESampler(seed=int(seeds[0]), n_startup_trials=num_random, constant_liar=True)
    study = _study(space, trials, direction, sampler)
    tried = [dict(trial.hyperparameters) for trial in trials]
    distributions = _distributions(space)
    for _ in range(ATTEMPTS):
        drawn: dict[str, Value] = dict(study.ask(distributions).params)
        if drawn not in tried:
            break
    return {name: drawn[name] for name in space}


def importances(space: Space, trials: Sequence[TriedPoint], *, direction: Direction, seed: int) -> dict[str, float]:
    """Return the share of the variance of the figure that each hyperparameter explains (functional ANOVA).

    :returns: the most important one first; nothing if there are too few trials, or all have one value.
    """
    optuna = require_optuna()
    complete = [trial for trial in trials if trial.value is not None and contains(space, trial.hyperparameters)]
    if len(complete) < FEWEST_FOR_IMPORTANCES or len({trial.value for trial in complete}) == 1:
        return {}
    study = _study(space, complete, direction, optuna.samplers.RandomSampler(seed=seed))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {str(name): float(share) for name, share in found.items()}


def require_optuna() -> t.Any:
    """Return Optuna, which then tells nothing but warnings.

    :raises InvalidInputError: if it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as exception:
        raise InvalidInputError(MISSING) from exception
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(
    space: Space, trials: Sequence[TriedPoint], direction: Direction, sampler: optuna.samplers.BaseSampler
) -> t.Any:
    """Return a study in memory that holds the trials within ``space``."""
    optuna = require_optuna()
    study = optuna.create_study(direction=direction, sampler=sampler)
    distributions = _distributions(space)
    states = optuna.trial.TrialState
    for trial in trials:
        if not contains(space, trial.hyperparameters):
            continue
        state = states.FAIL if trial.failed else states.RUNNING if trial.value is None else states.COMPLETE
        values = {'value': trial.value} if state == states.COMPLETE else {}
        params = {name: _clipped(domain, trial.hyperparameters[name]) for name, domain in space.items()}
        study.add_trial(optuna.trial.create_trial(state=state, params=params, distributions=distributions, **values))
    return study


def _clipped(domain: tuple[Value, ...] | Range, value: t.Any) -> Value:
    return min(max(value, domain.low), domain.high) if isinstance(domain, Range) and not domain.whole else value


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    optuna = require_optuna()
    found: dict[str, t.Any] = {}
    for name, domain in space.items():
        if not isinstance(domain, Range):
            found[name] = optuna.distributions.CategoricalDistribution(domain)
        elif domain.whole:
            found[name] = optuna.distributions.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        else:
            found[name] = optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log)
    return found
