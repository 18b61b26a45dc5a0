"""Settings of searches for hyperparameters, and what they make of a trial."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.hyperparameters import parse_settings
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.selection.hyperparameters import Range

FORMULAS = {'SrTiO3': {'Sr': 1, 'Ti': 1, 'O': 3}}
VALUES = {
    'num_trials': 5,
    'num_samples': 4,
    'seed': 7,
    'training': {'steps': 10, 'options': {'known_types': 0.8}},
    'sampling': {'stochasticity': 0.5},
    'space': {
        'training': {'num_layers': [2, 3], 'options': {'block_dropout': {'low': 0, 'high': 1}}},
        'sampling': {'steps': {'low': 10, 'high': 50}, 'novelty': {'low': 0, 'high': 1}},
    },
}
POINT = {
    'training.num_layers': 3,
    'training.options.block_dropout': 0.25,
    'sampling.steps': 20,
    'sampling.novelty': 0.5,
}


def test_whole_numbers_are_recognised_by_the_settings_that_they_are_for():
    """Bounds that are whole numbers do not make a share one."""
    domains = parse_settings(VALUES).domains
    assert set(domains) == set(POINT)
    assert domains['training.num_layers'] == (2, 3)
    assert domains['training.options.block_dropout'] == Range(low=0, high=1)
    assert domains['sampling.steps'] == Range(low=10, high=50, whole=True)
    assert domains['sampling.novelty'] == Range(low=0, high=1)


def test_a_trial_becomes_configurations_of_the_tasks():
    """What is searched lies over what is fixed; t0 belongs to the requests, which never use the formula itself."""
    settings = parse_settings(VALUES)
    training = settings.training_parameters(POINT)
    config = parse('train', {**training, 'dataset': 'dataset.npz'})
    assert (config.num_layers, config.steps, config.seed) == (3, 10, 7)
    assert (config.options.known_types, config.options.block_dropout) == (0.8, 0.25)
    sampling = settings.sampling_parameters(POINT, FORMULAS)
    (request,) = sampling.pop('requests')
    assert {'mode': 'motifs', 'formula': 'SrTiO3', 'novelty': 0.5, 'count': 4}.items() <= request.items()
    assert request['exclude'] == ['SrTiO3'] and request['only_library']
    assert (sampling['steps'], sampling['stochasticity'], sampling['seed']) == (20, 0.5, 7)


def test_samples_start_from_noise_without_novelty():
    """Then the cell content is what is asked for."""
    sections = {'training': VALUES['space']['training'], 'sampling': {'noise_schedule': ['linear', 'cosine']}}
    settings = parse_settings({**VALUES, 'space': sections})
    sampling = settings.sampling_parameters({'sampling.noise_schedule': 'cosine'}, FORMULAS)
    assert sampling['requests'] == [{'mode': 'composition', 'composition': FORMULAS['SrTiO3'], 'count': 4}]
    assert parse('generate', sampling).noise_schedule == 'cosine'


def test_fine_tuning_gives_a_campaign_steps_of_fine_tuning():
    """A checkpoint keeps its layers, and a campaign the steps of its first training."""
    best = parse_settings(VALUES).best(POINT, is_fine_tuned=True)
    generator = best['campaign']['learn']['generator']
    assert generator['tune_steps'] == 10 and not {'num_layers', 'initial_steps', 'start'} & set(generator)
    assert best['campaign']['generate'] == {'steps': 20, 'noise_schedule': 'linear', 'novelty': 0.5}


def test_only_what_decides_a_figure_is_its_identity():
    """More trials, another space and more threads leave trials comparable."""
    settings = parse_settings(VALUES)
    more = {'num_trials': 50, 'num_random': 2, 'space': {'training': {'num_layers': [4]}}}
    assert parse_settings({**VALUES, **more, 'run': {'num_threads': 2}}).identity() == settings.identity()
    for change in ({'seed': 8}, {'num_samples': 5}, {'training': {'steps': 11}}, {'objective': 'match_rate'}):
        assert parse_settings({**VALUES, **change}).identity() != settings.identity()


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'space': {}}, '`space` is empty'),
        ({'training': None}, 'nothing is trained: give the settings `training`'),
        ({'objective': 'loss'}, '`space.sampling` changes nothing with the objective `loss`'),
        ({'space': {'sampling': {'symmetry': ['keep', 'free']}}}, '`space.sampling.symmetry` changes nothing without'),
        ({'objective': 'speed'}, '`objective`'),
        ({'space': {'training': {'num_layer': [2]}}}, 'unknown key `generator.num_layer`'),
        ({'space': {'training': {'seed': [1, 2]}}}, '`training.seed` is set by the search itself'),
        ({'sampling': {'requests': []}}, '`sampling.requests` is set by the search itself'),
        ({'space': {'sampling': {'novelty': {'low': 0, 'high': 2}}}}, 'less than or equal to 1'),
        ({'space': {'sampling': {'steps': {'low': 10.5, 'high': 20}}}}, 'takes whole numbers, not 10.5 to 20'),
        ({'space': {'sampling': {'steps': {'low': 10}}}}, '`space.sampling.steps.high`: Field required'),
        ({'space': {'sampling': {'steps': 10}}}, '`space.sampling.steps` is 10: give a list of choices'),
        ({'space': {'sampling': {'steps': [10, 10]}}}, 'needs choices that differ'),
        ({'space': {'sampling': {'steps': [[10], 20]}}}, 'needs choices that differ'),
    ],
)
def test_settings_that_no_trial_could_run_with_are_refused(changes, text):
    """Every choice and every bound is tried on the configurations of the tasks before anything runs."""
    with pytest.raises(InvalidInputError, match=text):
        parse_settings({**VALUES, **changes})
