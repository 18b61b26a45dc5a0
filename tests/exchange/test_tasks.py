"""Configurations are checked before anything runs."""

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tasks import GeneratorTraining, parse

GENERATE = {'generator': 'g', 'requests': [{'mode': 'free', 'max_atoms': 4, 'count': 1}]}
COMPOSITION = {'mode': 'composition', 'count': 1}


@pytest.mark.parametrize(
    ('task', 'config', 'fragment'),
    [
        ('train', {'role': 'generator', 'dataset': 'd', 'stepz': 1}, 'stepz'),
        ('train', {'role': 'oracle', 'dataset': 'd'}, 'oracle'),
        ('train', {'role': 'validator', 'dataset': 'd', 'options': {'block_dropout': 0.1}}, 'block_dropout'),
        ('train', {'role': 'validator', 'dataset': 'd', 'steps': 0}, 'steps'),
        ('train', {'role': 'validator'}, 'dataset'),
        ('generate', {**GENERATE, 'requests': []}, 'requests'),
        (
            'generate',
            {**GENERATE, 'requests': [{'mode': 'free', 'min_atoms': 5, 'max_atoms': 4, 'count': 1}]},
            'exceeds',
        ),
        ('generate', {**GENERATE, 'requests': [{**COMPOSITION, 'composition': {'Li': 0}}]}, 'Li'),
        ('generate', {**GENERATE, 'target': {'band_gapp': 1.0}}, 'band_gapp'),
        ('predict', {'validator': 'v', 'structures': 's', 'device': 'tpu'}, 'device'),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(task, config, fragment):
    with pytest.raises(InvalidInputError, match=fragment):
        parse(task, config)


def test_text_that_is_not_json_is_refused():
    with pytest.raises(InvalidInputError, match='JSON'):
        parse('predict', b'{"validator":')


def test_the_role_decides_the_options():
    config = parse('train', {'role': 'generator', 'dataset': 'd', 'options': {'block_dropout': 0.5}})
    assert isinstance(config, GeneratorTraining)
    assert config.options.block_dropout == 0.5
