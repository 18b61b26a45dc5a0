"""Searches for hyperparameters through the engine, with real trainings and samples at the smallest size."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from aiida.engine import run_get_node
from fake_campaign import make_checkpoint

from aiida_qagenai.calculations.models.generate import GenerateCalculation
from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.queries.hyperparameters import recorded_trials, trained_generator, trial_table
from aiida_qagenai.workchains.hyperparameters.search import HyperparameterWorkChain, continuation
from aiida_qagenai.workchains.protocols.campaign import campaign_settings

SMALL = {
    'num_trials': 2,
    'num_random': 1,
    'num_formulas': 2,
    'num_samples': 3,
    'training': {'size': 'tiny', 'steps': 3, 'batch_size': 8},
    'sampling': {'steps': 4},
    'space': {'sampling': {'steps': {'low': 4, 'high': 8}}},
}
"""Settings with which every job takes about as long as the import of torch."""

NAMES = {
    *('training.num_layers', 'training.learning_rate'),
    *('sampling.steps', 'sampling.noise_schedule', 'sampling.novelty'),
}
"""Hyperparameters of the protocol where samples are not conditioned."""


def search(code, dataset, **options):
    """Return the ended process of a search, with nested changes to small settings."""
    overrides = {**SMALL, **options.pop('overrides', {})}
    builder = HyperparameterWorkChain.get_builder_from_protocol(code, dataset, overrides=overrides, **options)
    return run_get_node(builder)[1]


@pytest.mark.slow
def test_generators_are_trained_sampled_and_compared(ml_code, dataset):
    """The best trial's hyperparameters can be given on, and its generator is an output."""
    node = search(ml_code, dataset, overrides={'num_trials': 1})
    assert node.is_finished_ok, node.exit_message
    (trial,) = node.outputs.trials.values()
    content, point = trial.content, trial.point
    assert set(point) == NAMES
    assert content.state == 'complete' and 0 <= content.value <= 1
    assert content.figures['requested'] == 6 and content.value == pytest.approx(content.figures['unique'] / 6)
    checkpoint = node.outputs.checkpoint
    assert trained_generator(trial).uuid == checkpoint.uuid
    network = checkpoint.info.configuration['network']
    assert network['num_layers'] == point['training.num_layers']

    best = node.outputs.best.get_dict()
    assert {'role': 'generator', 'steps': 3, 'num_layers': network['num_layers']}.items() <= best['training'].items()
    assert best['sampling']['noise_schedule'] == point['sampling.noise_schedule']
    assert best['request'] == {'mode': 'motifs', 'symmetry': 'keep', 'novelty': point['sampling.novelty']}
    settings = campaign_settings('machinery', best['campaign'])
    assert settings.generate.novelty == point['sampling.novelty']
    assert settings.learn.generator.num_layers == network['num_layers']
    TrainCalculation.check_parameters(best['training'])

    (child,) = (each for each in node.called if each.process_label == 'TrialWorkChain')
    generation = next(each for each in child.called if each.process_label == 'GenerateCalculation')
    assert generation.inputs.generator.uuid == checkpoint.uuid
    requests = generation.inputs.parameters['requests']
    assert [(request['formula'], request['exclude']) for request in requests] == [('LiH2', ['LiH2']), ('LiH', ['LiH'])]
    assert child.inputs.development.base.attributes.get('splits')['test'] == 0
    assert generation.inputs.motifs.base.attributes.get('num_structures') == 16
    GenerateCalculation.check_parameters({**best['sampling'], 'requests': [{**requests[0], **best['request']}]})


@pytest.fixture
def picky_code(python_code):
    """Return a code whose trainings of a single layer fail as the task would."""
    failure = {'status': 'failed', 'error': {'kind': 'out_of_memory', 'message': 'no room'}}
    fail = f"if grep -q '\"num_layers\": 1' config.json; then echo '{json.dumps(failure)}' > results.json; exit 1; fi"
    return python_code('picky', 'qagenai.train', prepend_text=f'export OMP_NUM_THREADS=1\n{fail}')


CAMPAIGN = {
    'start': 'nothing',
    'size': 'tiny',
    'num_layers': 2,
    'initial_steps': 3,
    'batch_size': 8,
    'learning_rate': 0.004,
}
LOSS = {'objective': 'loss', 'space': {'training': {'num_layers': [1, 2], 'learning_rate': None}}}


@pytest.mark.slow
def test_a_failed_trial_is_recorded_and_the_search_goes_on(picky_code, dataset):
    """It can be continued with the same data and settings only."""
    node = search(picky_code, dataset, overrides=LOSS)
    assert node.is_finished_ok, node.exit_message
    trials = {trial.point['training.num_layers']: trial for trial in node.outputs.trials.values()}
    assert trials[1].value is None and 'ran out of memory' in trials[1].content.reason
    assert trials[2].value == trials[2].content.figures['validation_loss'] > 0
    summary = node.outputs.summary.get_dict()
    assert (summary['complete'], summary['failed'], summary['value']) == (1, 1, trials[2].value)
    assert node.outputs.best['campaign'] == {
        'learn': {'generator': {**CAMPAIGN, 'options': node.outputs.best['training']['options']}}
    }
    assert {child.process_label for child in node.called} == {
        'hold_out',
        'TrialWorkChain',
        'record_trial',
        'summarise_trials',
    }

    assert {label: trial.uuid for label, trial in recorded_trials(node).items()} == {
        label: trial.uuid for label, trial in node.outputs.trials.items()
    }
    table = trial_table(node).set_index('trial')
    assert table['state'].tolist().count('failed') == 1
    assert table.loc[summary['best'], 'checkpoint'] == node.outputs.checkpoint.pk
    with pytest.raises(InvalidInputError, match='2 trials are there, and `num_trials` is 2: raise it'):
        continuation(node)
    with pytest.raises(InvalidInputError, match='was measured on other data, with other settings'):
        continuation(node, {'num_trials': 3, 'training': {'steps': 4}})
    builder = continuation(node, {'num_trials': 3, 'space': {'training': {'num_layers': [1, 2, 3]}}})
    assert sorted(builder.previous) == ['trial000', 'trial001']


def test_a_search_without_any_figure_fails_with_the_reason(python_code, dataset):
    node = search(
        python_code('false', 'qagenai.train', executable='/bin/false'), dataset, overrides={**LOSS, 'num_trials': 1}
    )
    assert node.exit_status == HyperparameterWorkChain.exit_codes.ERROR_ALL_FAILED.status
    assert 'None of the 1 trials has a figure' in node.exit_message and 'TrainCalculation' in node.exit_message
    assert [trial.value for trial in node.outputs.trials.values()] == [None]


@pytest.mark.slow
def test_a_search_that_was_cut_ends_as_if_it_had_not_been(ml_code, dataset):
    """The choice of a trial depends on those before, wherever they were run."""
    overrides = {'objective': 'loss', 'num_random': 2, 'num_trials': 4, 'space': {}}
    whole = search(ml_code, dataset, overrides=overrides)
    first = search(ml_code, dataset, overrides={**overrides, 'num_trials': 2})
    rest = run_get_node(continuation(first, {'num_trials': 4}))[1]
    assert rest.is_finished_ok and sorted(rest.outputs.trials) == ['trial002', 'trial003']
    assert [trial.point for trial in recorded_trials(rest).values()] == [
        trial.point for trial in whole.outputs.trials.values()
    ]
    assert rest.outputs.summary.get_dict() == whole.outputs.summary.get_dict()
    assert trained_generator(recorded_trials(rest)[rest.outputs.summary['best']]).uuid == rest.outputs.checkpoint.uuid


@pytest.mark.slow
def test_a_given_generator_is_sampled_with_several_trials_at_a_time(ml_code, dataset, foundation_folder):
    """Nothing is trained; λ is searched because a target is given."""
    generator = CheckpointData(foundation_folder).store()
    overrides = {
        'training': None,
        'objective': 'match_rate',
        'num_trials': 3,
        'sampling': {'steps': 4, 'target': {'band_gap': 4.0}},
        'run': {'max_concurrent': 2},
    }
    node = search(ml_code, dataset, overrides=overrides, generator=generator)
    assert node.is_finished_ok, node.exit_message
    points = [trial.point for trial in node.outputs.trials.values()]
    assert len(points) == 3 and all('sampling.guidance_scale' in point for point in points)
    assert not any(name.startswith('training.') for name in points[0])
    assert {trial.content.figures['references'] for trial in node.outputs.trials.values()} == {3}
    assert 'checkpoint' not in node.outputs and set(node.outputs.best.get_dict()) == {'sampling', 'request', 'campaign'}


@pytest.mark.parametrize(
    ('overrides', 'text'),
    [
        ({'training': None}, 'nothing is trained and no `generator` is given'),
        ({'space': {'sampling': {'guidance_scale': [0.3, 1.0]}}}, r'\(λ\) changes nothing without a `descriptor`'),
        ({'num_trial': 3}, 'unknown key `num_trial`: did you mean `num_trials`'),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(ml_code, dataset, overrides, text):
    with pytest.raises(InvalidInputError, match=text):
        search(ml_code, dataset, overrides=overrides)


def test_a_generator_keeps_its_layers(ml_code, dataset):
    generator = make_checkpoint('generator', elements=('H', 'Li'))
    with pytest.raises(InvalidInputError, match=r'leave `space.training.num_layers` out'):
        search(ml_code, dataset, generator=generator)


def test_a_dataset_without_validation_split_is_refused(ml_code, make_dataset):
    """Trials would have nothing to be compared on."""
    dataset = make_dataset(lambda labels, _: dataclasses.replace(labels, split=np.zeros(len(labels), dtype=np.int8)))
    with pytest.raises(ValueError, match='no structure in the split `validation`'):
        search(ml_code, dataset)
