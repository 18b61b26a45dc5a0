"""What is decided when a campaign is built."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.training import training_inputs
from aiida_qagenai.workchains.protocols.campaign import parse_settings


@pytest.fixture
def build(pyscf_code, ml_code):
    """Return the settings of a campaign of the protocol `machinery` in a chemical system."""

    def create(elements: list[str], **overrides):
        builder = CampaignWorkChain.get_builder_from_protocol(
            pyscf_code=pyscf_code, ml_code=ml_code, elements=elements, protocol='machinery', overrides=overrides
        )
        return parse_settings(builder.parameters.get_dict())

    return create


def test_the_top_rung_is_decided_and_recorded(build):
    """It is in the inputs; labels and hull of a system whose top rung is HSE06 end there."""
    light, metals = build(['Li', 'H']), build(['Li', 'Na'])
    assert (light.energy.top, light.screen.hull_fidelity) == ('CCSD(T)', 'CCSD(T)')
    assert light.seed_set.labels == {'SCAN': 6, 'HSE06': 6, 'CCSD(T)': 5}
    assert (metals.energy.top, metals.screen.hull_fidelity) == ('HSE06', 'HSE06')
    assert metals.seed_set.labels == {'SCAN': 6, 'HSE06': 6}


def test_a_wish_for_the_top_rung(build):
    """It is kept if it is valid, and refused early if not."""
    chosen = build(['Li', 'H'], energy={'top': 'HSE06'}, screen={'hull_fidelity': 'PBE'})
    assert (chosen.energy.top, chosen.screen.hull_fidelity) == ('HSE06', 'PBE')
    with pytest.raises(InvalidInputError, match='metals only'):
        build(['Li', 'Na'], energy={'top': 'CCSD(T)'})
    with pytest.raises(InvalidInputError, match=r'set `energy\.top` instead'):
        build(['Li', 'H'], learn={'validator': {'options': {'top': 'HSE06'}}})


def test_the_top_rung_moves_no_energy(build):
    """Level tags are those of before."""
    tags = {
        build(['Li', 'H'], **overrides).energy.tag(Fidelity.PBE) for overrides in ({}, {'energy': {'top': 'HSE06'}})
    }
    assert len(tags) == 1


def test_the_validator_is_calibrated_for_the_top_rung(build, ml_code, toy_labels):
    """With CCSD(T) the inputs of its training are those of before."""
    tags = {level: f'pipeline:{level}' for level in LADDER}
    dataset = DatasetData(toy_labels, level_tags=tags, formation_scheme='anchored')
    for top, expected in (('CCSD(T)', {}), ('HSE06', {'top': 'HSE06'})):
        settings = build(['Li', 'H'], energy={'top': top})
        builder = training_inputs('validator', settings, dataset, code=ml_code, seed=1, steps=5)
        assert builder.parameters['options'] == expected
