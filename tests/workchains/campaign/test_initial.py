"""Where the generator and the validator of a campaign start."""

from __future__ import annotations

import json
import shutil

import pytest
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.checkpoint import CheckpointData, import_checkpoint, import_foundation
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, VALIDATOR_FOUNDATION
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.launch import continuation
from aiida_qagenai.workchains.campaign.seed import SeedWorkChain
from aiida_qagenai.workchains.protocols.energy import energy_settings

TAGS = {rung.value: f'test:{rung.label}' for rung in LADDER}
VALIDATOR = {'start': 'foundation', 'size': 'base'}


@pytest.fixture
def common(pyscf_code, ml_code):
    """Return what every campaign is given."""
    return {'pyscf_code': pyscf_code, 'ml_code': ml_code, 'elements': ['H', 'Li'], 'protocol': 'machinery'}


@pytest.mark.usefixtures('foundation')
def test_the_shipped_generator_is_an_input_and_is_not_trained(common):
    """It is stored once for all campaigns; the initial set trains the other models and hands it on as it is."""
    first, second = (SeedWorkChain.get_builder_from_protocol(**common) for _ in range(2))
    assert first.initial_generator.uuid == second.initial_generator.uuid
    assert first.initial_generator.label == 'foundation'
    process = instantiate_process(get_manager().get_runner(), first)
    assert process.trained_roles == ['descriptor', 'validator']
    assert process.node.inputs.initial_generator.uuid == first.initial_generator.uuid


def test_a_generator_that_starts_from_nothing_is_trained(common):
    """Then there is no input, and the seeds of the other trainings stay the same."""
    overrides = {'learn': {'generator': {'start': 'nothing', 'size': 'tiny'}}}
    builder = SeedWorkChain.get_builder_from_protocol(**common, overrides=overrides)
    assert 'initial_generator' not in builder
    process = instantiate_process(get_manager().get_runner(), builder)
    assert process.trained_roles == list(ROLES)


@pytest.mark.parametrize(
    ('elements', 'generator', 'message'),
    [
        (['Li', 'N'], {}, r'`initial_generator` was not trained on N'),
        (['Li', 'H'], {'size': 'tiny'}, r'set `learn\.generator\.size=base`, now `tiny`'),
        (['Li', 'H'], {'start': 'nothing'}, 'would not be used'),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(common, foundation, elements, generator, message):
    """Before anything is computed, with what to change."""
    given = {} if generator.get('start') != 'nothing' else {'initial_generator': import_checkpoint(foundation)[0]}
    with pytest.raises(InvalidInputError, match=message):
        CampaignWorkChain.get_builder_from_protocol(
            **{**common, 'elements': elements}, overrides={'learn': {'generator': generator}}, **given
        )


def test_a_campaign_without_its_checkpoint_is_refused(common):
    """A builder whose input was taken away says what is missing; a campaign that goes on needs none."""
    builder = CampaignWorkChain.get_builder_from_protocol(**common)
    node = instantiate_process(get_manager().get_runner(), builder).node
    goes_on = continuation(node, {}, {})
    assert goes_on.initial_generator.uuid == builder.initial_generator.uuid
    assert 'initial_generator' not in continuation(node, {}, {'learn': {'generator': {'start': 'nothing'}}})
    del builder.initial_generator
    with pytest.raises(ValueError, match='needs `initial_generator`, the checkpoint of a generator'):
        instantiate_process(get_manager().get_runner(), builder)


def test_the_shipped_validator_is_fine_tuned_on_the_initial_set(common, toy_labels):
    """It is stored once, an input of the campaign, and what the first training starts from, with its own steps."""
    given = {'overrides': {'learn': {'validator': {**VALIDATOR, 'initial_steps': 7, 'tune_steps': 5}}}}
    first, second = (SeedWorkChain.get_builder_from_protocol(**common, **given) for _ in range(2))
    assert first.initial_validator.uuid == second.initial_validator.uuid
    assert (first.initial_validator.role, first.initial_validator.label) == ('validator', 'foundation-validator')
    process = instantiate_process(get_manager().get_runner(), first)
    assert process.trained_roles == ['descriptor', 'validator']
    process.ctx.dataset = DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored').store()
    training = process.training('validator')
    assert training.initial_checkpoint.uuid == first.initial_validator.uuid
    assert training.parameters['steps'] == 7


PBE = energy_settings('pipeline').tag(Fidelity.PBE)


@pytest.mark.parametrize(
    ('elements', 'validator', 'message'),
    [
        (['Li', 'H'], {'size': 'tiny'}, r'`initial_validator` has the size `base`: set `learn\.validator\.size=base`'),
        (['Li', 'H'], {'options': {'num_members': 3}}, r'set `learn\.validator\.options\.num_members=5`, now `3`'),
        (['Li', 'H'], {'options': {'architecture': 'pairs'}}, r'options\.architecture=moments`, now `pairs`'),
        (['Li', 'H'], {'options': {'parents': {'pbe': 'MP2020 PBE'}}}, 'names the level `pbe`: choose from'),
        (
            ['Li', 'H'],
            {'options': {'parents': {PBE: 'PBE'}}},
            'names the parent `PBE`: choose from `SevenNet-MF-0 PBE`',
        ),
    ],
)
def test_a_validator_that_does_not_fit_is_refused(common, elements, validator, message):
    """Before anything is computed, with what to change."""
    with pytest.raises(InvalidInputError, match=message):
        CampaignWorkChain.get_builder_from_protocol(
            **{**common, 'elements': elements}, overrides={'learn': {'validator': {**VALIDATOR, **validator}}}
        )


def test_a_validator_without_an_element_of_the_campaign_is_refused(common, tmp_path):
    """It names the element, and what to choose instead."""
    with pytest.raises(InvalidInputError, match=r'was not trained on H, Li: choose `learn\.validator\.start=nothing`'):
        CampaignWorkChain.get_builder_from_protocol(
            **common, overrides={'learn': {'validator': VALIDATOR}}, initial_validator=without(tmp_path, ['H', 'Li'])
        )


def test_a_validator_that_would_not_be_used_is_refused(common):
    given = {'initial_validator': import_foundation('validator')[0]}
    overrides = {'learn': {'validator': {'start': 'nothing', 'size': 'tiny'}}}
    with pytest.raises(InvalidInputError, match='`initial_validator` would not be used'):
        CampaignWorkChain.get_builder_from_protocol(**common, overrides=overrides, **given)


def without(folder, elements):
    """Return the shipped validator as if it had other elements in the place of ``elements``."""
    copy = shutil.copytree(VALIDATOR_FOUNDATION, folder / 'copy')
    content = json.loads((copy / CONFIG_NAME).read_text())
    content['elements'] = [symbol for symbol in content['elements'] if symbol not in elements]
    (copy / CONFIG_NAME).write_text(json.dumps(content))
    return CheckpointData(copy)
