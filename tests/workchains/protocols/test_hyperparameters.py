"""Protocols of searches for hyperparameters."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.hyperparameters import parse_settings
from aiida_qagenai.workchains.protocols.hyperparameters import available_protocols, hyperparameter_settings

PAPER = {
    'sampling.steps',
    'sampling.noise_schedule',
    'sampling.guidance_scale',
    'sampling.novelty',
    'training.num_layers',
}


@pytest.mark.parametrize('protocol', available_protocols())
def test_every_protocol_searches_what_the_paper_does(protocol):
    """Steps, noise schedule, λ, t0 and layers (section 4.3); the settings are complete."""
    settings = hyperparameter_settings(protocol)
    assert settings.description and set(settings.domains) >= PAPER
    assert parse_settings(settings.dump()) == settings


def test_what_changes_nothing_is_left_out_of_a_protocol():
    """λ without conditioning, sampling where only a loss counts, training where a given generator is sampled."""
    assert 'sampling.guidance_scale' not in hyperparameter_settings(conditioned=False).domains
    loss = hyperparameter_settings(overrides={'objective': 'loss'}).domains
    assert loss and all(name.startswith('training.') for name in loss)
    sampled = hyperparameter_settings(overrides={'training': None}).domains
    assert sampled and all(name.startswith('sampling.') for name in sampled)


def test_a_hyperparameter_of_a_protocol_can_be_taken_out_or_changed():
    space = {'training': {'num_layers': None}, 'sampling': {'steps': {'high': 30}}}
    domains = hyperparameter_settings(overrides={'space': space}).domains
    assert 'training.num_layers' not in domains
    assert domains['sampling.steps'].bounds == (20, 30)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InvalidInputError, match='unknown protocol `fats` of searches for hyperparameters'):
        hyperparameter_settings('fats')
