"""Records are validated when they are made and again when they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.common.exceptions import ValidationError

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.data.trial import TrialData


@pytest.fixture(scope='module', autouse=True)
def profile(aiida_profile):
    """Empty the profile once for all tests of this module."""
    aiida_profile.reset_storage()


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'fidelity': 'B3LYP'}, '`fidelity`'),
        ({'total_energy': float('nan')}, '`total_energy`'),
        ({'total_energy': float('inf')}, '`total_energy`'),
        ({'total_energy': 'low'}, '`total_energy`'),
        ({'num_atoms': 0}, '`num_atoms`'),
        ({'energy_per_atom': -3.0}, 'is not total_energy / num_atoms'),
        ({'formation_scheme': None}, 'go together'),
        ({'formation_energy_per_atom': None}, 'go together'),
        ({'level_tag': 'precise:gth'}, 'must start with the protocol'),
        ({'level_tag': ''}, '`level_tag`'),
        ({'core_hours': -1.0}, '`core_hours`'),
        ({'components': {'a': float('nan')}}, '`components'),
        ({'enrgy': 1.0}, '`enrgy`'),
        ({'converged': None}, '`converged`'),
    ],
)
def test_wrong_energy_is_refused(energy_content, change, text):
    with pytest.raises(InvalidInputError, match=text):
        EnergyData(**{**energy_content, **change})


def test_a_database_may_know_the_formation_energy_only(energy_content):
    del energy_content['total_energy']
    energy_content.pop('energy_per_atom', None)
    node = EnergyData(**energy_content)
    assert node.content.energy_per_atom is None
    with pytest.raises(InvalidInputError, match='formation energy only'):
        _ = node.total_energy
    with pytest.raises(InvalidInputError, match='give total_energy'):
        EnergyData(**{**energy_content, 'formation_energy_per_atom': None, 'formation_scheme': None})


@pytest.mark.parametrize('name', ['fidelity', 'structure_uuid', 'scientific'])
def test_missing_field_is_named(energy_content, name):
    del energy_content[name]
    with pytest.raises(InvalidInputError, match=f'`{name}`: Field required'):
        EnergyData(**energy_content)


def test_energy_per_atom_follows(energy_content):
    node = EnergyData(**energy_content).store()
    assert node.content.energy_per_atom == -10.75
    assert node.fidelity is Fidelity.CCSD_T
    assert node.total_energy == -21.5
    assert node.formation_energy_per_atom == -0.4


@pytest.mark.parametrize('number', [np.float64(-21.5), np.float32(-21.5)])
def test_numbers_of_numpy_are_taken(energy_content, number):
    node = EnergyData(**{**energy_content, 'total_energy': number, 'num_atoms': np.int64(2)}).store()
    assert node.total_energy == -21.5


def test_divergence_follows(prediction_content):
    content = PredictionData(**prediction_content).content
    assert content.divergence == 0.06
    assert content.divergence_relative == pytest.approx(2.0)
    certain = PredictionData(**{**prediction_content, 'divergence_sigma': 0.0}).content
    assert certain.divergence_relative is None


@pytest.mark.parametrize('change', [{'sigma_pbe': -0.1}, {'cycle': -1}, {'energy_pbe': float('nan')}, {'index': 0.5}])
def test_wrong_prediction_is_refused(prediction_content, change):
    with pytest.raises(InvalidInputError, match=f'`{next(iter(change))}`'):
        PredictionData(**{**prediction_content, **change})


@pytest.mark.parametrize(
    'change',
    [{'e_above_hull': -0.1}, {'rank': 0}, {'diversity': 1.5}, {'selected': None}],
)
def test_wrong_assessment_is_refused(assessment_content, change):
    with pytest.raises(InvalidInputError, match=f'{next(iter(change))}'):
        AssessmentData(**{**assessment_content, **change})


def test_attributes_changed_by_hand_are_refused_at_storing(energy_content):
    node = EnergyData(**energy_content)
    node.base.attributes.set('total_energy', 5.0)
    with pytest.raises(ValidationError, match='energy_per_atom'):
        node.store()
    assert not node.is_stored


def test_uuid_of_the_candidate_does_not_change_the_hash(prediction_content):
    one = PredictionData(**prediction_content).store()
    other = PredictionData(**{**prediction_content, 'candidate_uuid': 'b' * 32}).store()
    assert one.base.caching.get_hash() == other.base.caching.get_hash()


def test_node_arguments_pass_through(energy_content):
    node = EnergyData(**energy_content, label='name', description='text', extras={'a': 1}).store()
    assert (node.label, node.description, node.base.extras.get('a')) == ('name', 'text', 1)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'value': None}, 'a complete trial has a `value`'),
        ({'state': 'failed'}, 'a failed one a `reason`'),
        ({'state': 'failed', 'value': None}, 'a failed one a `reason`'),
        ({'state': 'lost'}, '`state`'),
        ({'direction': 'up'}, '`direction`'),
        ({'number': -1}, '`number`'),
    ],
)
def test_wrong_trial_is_refused(change, text):
    """A trial has a value or the reason why there is none."""
    content = {
        'study': '0' * 64,
        'number': 3,
        'objective': 'loss',
        'direction': 'minimize',
        'hyperparameters': {'training': {'options': {'block_dropout': 0.1}}},
        'state': 'complete',
        'value': 0.5,
    }
    trial = TrialData(**content)
    assert (trial.number, trial.value, trial.point) == (3, 0.5, {'training.options.block_dropout': 0.1})
    with pytest.raises(InvalidInputError, match=text):
        TrialData(**{**content, **change})
