"""The next hyperparameters to try, rebuilt from the trials so far."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.hyperparameters import Range, TriedPoint, contains, importances, suggest

SPACE = {
    'layers': (2, 3, 4),
    'schedule': ('linear', 'cosine'),
    'rate': Range(low=1e-4, high=1e-1, log=True),
    'steps': Range(low=10, high=2000, whole=True),
}


def figure(point) -> float:
    """Return a figure whose best value is at four layers and a rate of 1e-2; steps and schedule change nothing."""
    return -((point['layers'] - 4) ** 2) - (math.log10(point['rate']) + 2) ** 2


def search(count: int, trials: list[TriedPoint], **options) -> list[TriedPoint]:
    """Return ``trials`` and those that follow, ``count`` in all."""
    done = list(trials)
    for number in range(len(done), count):
        options = {'direction': 'maximize', 'seed': 3, 'num_random': 5, **options}
        point = suggest(SPACE, done, number=number, **options)
        done.append(TriedPoint(point, figure(point)))
    return done


def test_a_cut_search_goes_on_as_if_it_had_not_been():
    """The choice depends on the seed, the number and the trials only."""
    whole = search(14, [])
    assert search(14, whole[:8]) == whole
    assert search(14, [], seed=4)[0] != whole[0]
    assert all(contains(SPACE, trial.hyperparameters) for trial in whole)
    assert len({tuple(trial.hyperparameters.values()) for trial in whole}) == 14
    assert isinstance(whole[0].hyperparameters['steps'], int)


def test_values_teach_the_sampler():
    """The trials behind the random ones are better, and the importances name what decides."""
    trials = search(40, [])
    values = [trial.value for trial in trials]
    assert sum(values[-15:]) / 15 > sum(values[:5]) / 5 / 2
    best = max(trials, key=lambda trial: trial.value).hyperparameters
    assert best['layers'] == 4 and 3e-3 < best['rate'] < 3e-2
    found = importances(SPACE, search(40, [], num_random=40), direction='maximize', seed=1)
    assert {*list(found)[:2]} == {'layers', 'rate'} and sum(found.values()) == pytest.approx(1)


def test_failed_and_running_trials_are_not_tried_again():
    """A small space is searched without repetition, until it is exhausted."""
    space = {'layers': (1, 2), 'schedule': ('linear', 'cosine')}
    trials: list[TriedPoint] = []
    for number, state in enumerate(({'value': 0.5}, {'failed': True}, {}, {'value': 0.1})):
        point = suggest(space, trials, direction='minimize', seed=0, number=number)
        trials.append(TriedPoint(point, **state))
    assert len({tuple(trial.hyperparameters.values()) for trial in trials}) == 4
    assert contains(space, suggest(space, trials, direction='minimize', seed=0, number=4))


def test_trials_outside_of_the_space_teach_nothing():
    """The space may change between two searches."""
    outside = TriedPoint({'layers': 9, 'schedule': 'linear', 'rate': 1e-2, 'steps': 100}, 5.0)
    fewer = TriedPoint({'layers': 2}, 7.0)
    options = {'direction': 'maximize', 'seed': 1, 'number': 2}
    assert suggest(SPACE, [outside, fewer], **options) == suggest(SPACE, [], **options)
    assert not contains({'rate': Range(low=0, high=1)}, {'rate': 'fast'})
    assert not contains({'steps': Range(low=1, high=9, whole=True)}, {'steps': 2.5})


def test_there_are_no_importances_of_few_or_equal_trials():
    trials = search(12, [])
    assert importances(SPACE, trials, direction='maximize', seed=1)
    assert importances(SPACE, trials[:9], direction='maximize', seed=1) == {}
    equal = [TriedPoint(trial.hyperparameters, 1.0) for trial in trials]
    assert importances(SPACE, equal, direction='maximize', seed=1) == {}


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ({'low': 2, 'high': 1}, '`low` 2 must be below `high` 1'),
        ({'low': 0, 'high': 1, 'log': True}, '`log` needs a positive `low`'),
        ({'low': 0.5, 'high': 2, 'whole': True}, 'takes whole numbers, not 0.5 to 2'),
        ({'low': 1, 'high': 2, 'step': 1}, 'unknown key `step`'),
    ],
)
def test_a_wrong_range_is_refused(values, text):
    with pytest.raises(InvalidInputError, match=text):
        Range.parse(values)


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'optuna', None)
    with pytest.raises(InvalidInputError, match=r'pip install "aiida-qagenai\[hyperparameters\]"'):
        suggest(SPACE, [], direction='maximize', seed=0, number=0)


def test_importing_the_module_does_not_load_optuna():
    code = 'import sys, aiida_qagenai.selection.hyperparameters; print("optuna" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout == 'False\n'
