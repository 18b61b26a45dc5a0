"""The arms of the contest: what they learn, what they never see, and their contest as a task."""

import dataclasses
import json

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.exchange.arms import ABOUT, CHEAP, NETWORKS
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.exchange.tasks import RuntimeConfig, parse
from aiida_qagenai.ml.alternatives import kriging, regressions
from aiida_qagenai.ml.alternatives.arms import METHODS
from aiida_qagenai.ml.alternatives.contest import Field, folds_of, seen_in_fold
from aiida_qagenai.ml.runtime import setup

LEVELS = (Level('low', Fidelity.PBE), Level('high', Fidelity.SCAN))
NUM = 90


def made_up(curved=0.0, seed=0):
    """Return a field of compounds of four elements: high = 0.1 + 1.2 low + elements + a curved function of features."""
    rng = np.random.default_rng(seed)
    fractions = rng.dirichlet(np.ones(4), NUM)
    features = rng.normal(size=(NUM, 3))
    low = fractions @ [0.5, -1.0, -2.0, 0.3] + 0.3 * np.sin(2 * features[:, 0])
    high = 0.1 + 1.2 * low + fractions @ [0.2, 0.0, -0.3, 0.1] + curved * np.sin(features[:, 1])
    groups = np.array([f'formula {k // 2}' for k in range(NUM)])
    return Field(np.stack([low, high], axis=1), LEVELS, groups, fractions, features)


def problem_of(field, given=True, **settings):
    """Return what is seen when the first fold judges, and the rows of that fold."""
    config = ContestConfig(dataset='none', given=given, **settings)
    outside = folds_of(field.groups, config.folds, 0) == 0
    return seen_in_fold(field, config, setup(config), outside, 0), np.flatnonzero(outside)


def error_of(method, problem, rows, field):
    """Return the mean absolute error on the rows that judge."""
    return float(np.abs(method(problem)(rows).energies - field.energies[rows, -1]).mean())


def test_the_arms_have_the_names_of_the_settings():
    assert tuple(METHODS) == tuple(ABOUT) == (*CHEAP, *NETWORKS)
    with pytest.raises(InvalidInputError, match='unknown arms quadratic: choose from lower, linear'):
        parse('contest', {'dataset': 'none', 'arms': ['quadratic']})


def test_a_linear_correction_finds_shift_slope_and_elements():
    field = made_up()
    problem, rows = problem_of(field)
    assert error_of(regressions.lower, problem, rows, field) > 0.1
    assert error_of(regressions.linear, problem, rows, field) < 2e-3


def test_a_process_learns_what_a_linear_correction_leaves():
    field = made_up(curved=0.3)
    problem, rows = problem_of(field)
    linear = error_of(regressions.linear, problem, rows, field)
    assert linear > 0.1
    assert error_of(regressions.difference, problem, rows, field) < 0.5 * linear
    assert error_of(kriging.co_kriging, problem, rows, field) < 0.6 * linear


def test_the_level_below_helps_where_labels_are_few():
    field = made_up(curved=0.05)
    problem, rows = problem_of(field, given=False)
    energies = problem.energies.copy()
    energies[problem.known[20:], -1] = np.nan
    few = dataclasses.replace(problem, energies=energies)
    alone = error_of(regressions.high_only, few, rows, field)
    assert error_of(regressions.difference, few, rows, field) < 0.7 * alone
    assert error_of(kriging.co_kriging, few, rows, field) < 0.8 * alone


def test_error_bars_of_a_linear_correction_are_its_errors():
    field = made_up(curved=0.3)
    problem, rows = problem_of(field)
    energies, sigma = regressions.linear(problem)(rows)
    errors = energies - field.energies[rows, -1]
    assert 0.6 < sigma.mean() / np.sqrt((errors**2).mean()) < 1.6


def test_an_arm_sees_nothing_that_judges_it():
    field = made_up()
    problem, rows = problem_of(field, given=False)
    assert np.isnan(problem.energies[rows]).all() and not np.isin(problem.known, rows).any()
    assert (problem.lower_sigma[rows] > 0).all()
    given, _ = problem_of(field, given=True)
    assert np.isnan(given.target[rows]).all()
    np.testing.assert_array_equal(given.below[rows], field.energies[rows, 0])
    changed = field.energies.copy()
    changed[rows] += 100.0
    other, _ = problem_of(dataclasses.replace(field, energies=changed), given=False)
    for method in (regressions.linear, regressions.high_only, regressions.difference):
        np.testing.assert_array_equal(method(other)(rows).energies, method(problem)(rows).energies)


def test_folds_never_separate_a_formula_and_are_even():
    groups = made_up().groups
    folds = folds_of(groups, 5, 3)
    assert all(len(set(folds[groups == group])) == 1 for group in groups)
    assert np.bincount(folds).tolist() == [18] * 5
    assert (folds != folds_of(groups, 5, 4)).any()


def test_a_combination_of_levels_uses_each_of_them():
    field = made_up()
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, NUM))
    high = 0.5 * first + 0.5 * second
    levels = (Level('other', Fidelity.PBE), *LEVELS)
    field = dataclasses.replace(field, levels=levels, energies=np.stack([first, second, high], axis=1))
    problem, rows = problem_of(field)
    assert error_of(regressions.levels, problem, rows, field) < 0.02
    sigma = regressions.levels(problem)(rows).sigma
    spread = np.abs(first - second)[rows]
    assert np.corrcoef(sigma, spread)[0, 1] > 0.9


def test_co_kriging_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(kriging.importlib.util, 'find_spec', lambda name: None)
    problem, _ = problem_of(made_up())
    with pytest.raises(InvalidInputError, match=r'needs GPyTorch: pip install .aiida-qagenai\[kriging\]'):
        kriging.co_kriging(problem)


@pytest.mark.slow
@pytest.mark.parametrize('arm', NETWORKS)
def test_every_network_predicts_the_target(dataset, arm):
    config = ContestConfig(dataset='none', given=True, features='composition', folds=2, steps=60, arms=(arm,))
    runtime = setup(RuntimeConfig())
    field = Field.of(dataset, config, runtime)
    problem = seen_in_fold(field, config, runtime, folds_of(field.groups, 2, 0) == 0, 0)
    rows = np.flatnonzero(np.isfinite(field.energies[:, -1]))
    mean, sigma = METHODS[arm](problem)(rows)
    errors = np.abs(mean - field.energies[rows, -1])
    assert errors.mean() < field.energies[rows, -1].std()
    assert (sigma > 0).all()


def test_networks_of_the_level_below_are_trained_once_a_fold(dataset):
    config = ContestConfig(dataset='none', given=True, features='composition', folds=2, steps=8, repeats=1)
    runtime = setup(RuntimeConfig())
    field = Field.of(dataset, config, runtime)
    problem = seen_in_fold(field, config, runtime, folds_of(field.groups, 2, 0) == 0, 0)
    first = METHODS['mf-ennp-outer'](problem)(np.arange(4))
    assert [key for key in problem.shared['spent'] if key.startswith('network')] == ['network moments 0']
    trained = problem.shared['network moments 0']
    again = METHODS['mf-ennp-outer'](problem)(np.arange(4))
    assert problem.shared['network moments 0'] is trained
    np.testing.assert_array_equal(first.energies, again.energies)


def test_new_heads_of_a_validator_learn_a_level_that_it_lacks(dataset, models):
    named = dataset.tagged({'PBE': 'PBE', 'SCAN': 'another SCAN'})
    settings = {'features': 'composition', 'folds': 2, 'steps': 60, 'validator': models / 'validator'}
    config, runtime = ContestConfig(dataset='none', given=True, **settings), setup(RuntimeConfig())
    field = Field.of(named, config, runtime)
    outside = (folds_of(field.groups, 2, 0) == 0) & np.isfinite(field.energies).all(axis=1)
    problem, rows = seen_in_fold(field, config, runtime, outside, 0), np.flatnonzero(outside)
    errors = [
        np.abs(METHODS[arm](problem)(rows).energies - field.energies[rows, -1]).mean()
        for arm in ('mf-ennp-shipped', 'lower')
    ]
    assert errors[0] < 0.8 * errors[1]


def test_a_validator_is_not_judged_by_what_it_was_trained_on(tmp_path, dataset, command, models):
    """The others compete without its new heads."""
    dataset.save(tmp_path / 'dataset.npz')
    arms = {'arms': ['lower', 'mf-ennp-shipped'], 'features': 'foundation', 'validator': str(models / 'validator')}
    status, results = command(tmp_path, 'contest', {**SMALL, **arms})
    assert status == 0, results['error']
    assert {each['arm'] for each in results['standings']} == {'lower'}
    assert any('was trained on `CCSD(T)`' in warning for warning in results['warnings'])


def test_formulas_can_be_left_out_one_at_a_time(tmp_path, dataset, command):
    """With fewer than twice as many formulas as folds."""
    rows = np.flatnonzero(np.isfinite(dataset.energies[:, -1]))
    few = dataset.select(
        [next(row for row in rows if dataset.groups[row] == group) for group in np.unique(dataset.groups[rows])]
    )
    few.save(tmp_path / 'dataset.npz')
    status, results = command(
        tmp_path, 'contest', {**SMALL, 'given': True, 'folds': len(few), 'arms': ['lower', 'linear']}
    )
    assert status == 0, results['error']


SMALL = {
    'dataset': 'dataset.npz',
    'features': 'composition',
    'folds': 2,
    'repeats': 2,
    'numbers': [2],
    'arms': ['lower', 'linear', 'difference', 'levels'],
}


def test_the_task_writes_results_and_who_is_taken(tmp_path, dataset, command):
    dataset.save(tmp_path / 'dataset.npz')
    status, results = command(tmp_path, 'contest', SMALL)
    assert status == 0, results['error']
    assert results['levels'] == ['PBE', 'SCAN', 'HSE06', 'CCSD(T)']
    content = json.loads((tmp_path / 'contest.json').read_text())
    # two folds, two repeats, two numbers of labels, four arms
    assert len(content['results']) == 2 * 2 * 2 * 4
    assert [each['number'] for each in content['standings'] if each['taken']] == [2, 0]


def test_a_contest_that_was_cut_goes_on(tmp_path, dataset, command):
    dataset.save(tmp_path / 'dataset.npz')
    assert command(tmp_path, 'contest', SMALL)[0] == 0
    whole = (tmp_path / 'contest.json').read_bytes()
    lines = (tmp_path / 'contest.jsonl').read_text().splitlines(keepends=True)
    (tmp_path / 'contest.jsonl').write_text(''.join(lines[:9]) + '{"arm": "lin')
    status, results = command(tmp_path, 'contest', SMALL)
    assert status == 0, results['error']

    def errors(content):
        found = {(each['arm'], each['repeat'], each['fold'], each['number']): each['error'] for each in content}
        return sorted(found.items())

    again = json.loads((tmp_path / 'contest.json').read_text())
    assert errors(again['results']) == errors(json.loads(whole)['results'])


def test_a_journal_of_another_contest_is_refused(tmp_path, dataset, command):
    dataset.save(tmp_path / 'dataset.npz')
    assert command(tmp_path, 'contest', SMALL)[0] == 0
    status, results = command(tmp_path, 'contest', {**SMALL, 'given': True})
    assert status == 1 and 'is the journal of another contest' in results['error']['message']


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'target': 'r2SCAN'}, 'there are no labels on `r2SCAN`: choose one of PBE, SCAN, HSE06, CCSD(T)'),
        ({'target': 'PBE'}, 'a contest needs labels on a level below the target, got PBE'),
        ({'folds': 5}, 'formulas: 5 folds need at least 10'),
    ],
)
def test_what_cannot_be_held_is_said(tmp_path, dataset, command, settings, message):
    dataset.save(tmp_path / 'dataset.npz')
    status, results = command(tmp_path, 'contest', {**SMALL, **settings})
    assert status == 1 and message in results['error']['message']


def test_the_features_of_a_validator_are_used(tmp_path, dataset, command, models):
    dataset.save(tmp_path / 'dataset.npz')
    settings = {**SMALL, 'features': 'foundation', 'validator': str(models / 'validator'), 'arms': ['foundation']}
    status, results = command(tmp_path, 'contest', settings)
    assert status == 0, results['error']
    assert {each['arm'] for each in results['standings']} == {'foundation'}
