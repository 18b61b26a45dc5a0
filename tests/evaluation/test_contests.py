"""Paired comparison of arms, and who is taken."""

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.contests import (
    Result,
    corrected_error,
    corrected_interval,
    labels_for,
    plot_contest,
    standings,
)

FOLDS = 5


def results(arm, errors, number=25):
    """Return the results of an arm in some folds."""
    return [
        Result(arm, k // FOLDS, k % FOLDS, number, number or 80, float(error), float(error), 0.9, 1.0)
        for k, error in enumerate(errors)
    ]


def test_the_standard_error_counts_the_shared_training_data():
    differences = np.array([0.01, 0.03, 0.02, 0.04])
    expected = np.sqrt((1 / 4 + 1 / 4) * differences.var(ddof=1))
    assert corrected_error(differences, FOLDS) == pytest.approx(expected)
    low, high = corrected_interval(differences, FOLDS)
    # the quantile of Student's t with three degrees of freedom
    assert (high - low) / 2 == pytest.approx(3.1824 * expected, rel=1e-4)
    assert (low + high) / 2 == pytest.approx(0.025)


def test_the_coverage_of_the_corrected_interval_is_not_that_of_independent_folds():
    """Folds that share most of their error cover the truth far less often than claimed without the correction."""
    rng = np.random.default_rng(0)
    naive = corrected = 0
    for _ in range(400):
        differences = rng.normal(0, 0.5) * np.sqrt(1 / 4) + rng.normal(0, 0.5, 25)
        low, high = corrected_interval(differences, FOLDS)
        corrected += low <= 0 <= high
        naive += abs(differences.mean()) <= 2.06 * differences.std(ddof=1) / 5
    assert corrected > 0.9 * 400 > 0.8 * 400 > naive


def test_the_simplest_arm_within_one_standard_error_is_taken():
    rng = np.random.default_rng(1)
    fold = rng.normal(0.1, 0.02, 25)
    complex_ = results('complex', fold)
    simple = results('simple', fold + rng.normal(0.001, 0.01, 25))
    worse = results('worse', fold + 0.05)
    found = standings([*complex_, *simple, *worse], ['worse', 'simple', 'complex'], FOLDS)
    assert [each.arm for each in found][2] == 'worse' and found[0].best
    assert [each.arm for each in found if each.taken] == ['simple']
    assert found[2].low > 0


def test_an_arm_that_is_clearly_better_is_taken_however_complex():
    fold = np.linspace(0.1, 0.2, 25)
    found = standings(
        [*results('complex', fold), *results('simple', fold + 0.05 + 0.01 * np.sin(np.arange(25)))],
        ['simple', 'complex'],
        FOLDS,
    )
    assert [each.arm for each in found if each.taken] == ['complex']


def test_every_number_of_labels_has_its_own_winner_and_all_labels_come_last():
    few = [*results('simple', np.full(25, 0.1)), *results('complex', 0.2 + 0.001 * np.arange(25))]
    many = [*results('simple', np.full(25, 0.1), 0), *results('complex', 0.05 + 0.001 * np.arange(25), 0)]
    found = standings([*many, *few], ['simple', 'complex'], FOLDS)
    assert [(each.number, each.arm) for each in found if each.taken] == [(25, 'simple'), (0, 'complex')]


def test_folds_in_which_an_arm_is_missing_do_not_count():
    found = standings([*results('a', [0.1, 0.1, 0.9]), *results('b', [0.2, 0.2])], ['a', 'b'], FOLDS)
    assert {each.arm: each.error for each in found} == pytest.approx({'a': 0.1, 'b': 0.2})


def test_labels_for_reads_a_learning_curve_between_its_points():
    labels, errors = [10, 100, 1000], [0.4, 0.2, 0.1]
    assert labels_for(0.2, labels, errors) == (pytest.approx(100), True)
    assert labels_for(0.2 * 2**-0.5, labels, errors) == (pytest.approx(100 * 10**0.5), True)
    assert labels_for(0.5, labels, errors) == (10, True)
    assert labels_for(0.05, labels, errors) == (1000, False)
    with pytest.raises(InvalidInputError, match='two points'):
        labels_for(0.1, [10], [0.1])


def test_noise_does_not_make_a_learning_curve_rise():
    assert labels_for(0.15, [10, 100, 1000], [0.2, 0.25, 0.1])[0] > 100


@pytest.mark.parametrize('name', ['contest.png', 'contest.svg'])
def test_a_picture_shows_all_arms(tmp_path, name):
    found = standings(
        [*results('a', np.full(5, 0.1)), *results('b', np.full(5, 0.2)), *results('b', np.full(5, 0.1), 0)],
        ['a', 'b'],
        FOLDS,
    )
    path = plot_contest(found, tmp_path / name)
    assert path.stat().st_size > 1000
    with pytest.raises(InvalidInputError, match='choose a name'):
        plot_contest(found, tmp_path / 'contest.txt')
