"""Campaigns that relax their candidates: what is checked first, and what a continuation takes over."""

from __future__ import annotations

import pytest
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.launch import continuation


@pytest.fixture
def build(pyscf_code, ml_code, python_code):
    """Return a factory of campaigns in Li–H that relax by a PySCF of its own."""
    other = python_code('relaxer', 'qagenai.pyscf_cell')

    def create(**relax):
        return CampaignWorkChain.get_builder_from_protocol(
            pyscf_code=pyscf_code,
            ml_code=ml_code,
            elements=['Li', 'H'],
            protocol='machinery',
            overrides={'relax': {'engine': 'pyscf', 'protocol': 'pipeline', **relax}},
            relax_code=other,
            relax_options={'max_wallclock_seconds': 600},
        )

    return create


def test_a_continuation_relaxes_as_before(build):
    """Code, options and settings are those of the campaign that ended; switched off, nothing is left of them."""
    node = instantiate_process(get_manager().get_runner(), build()).node
    builder = continuation(node, {}, {})
    assert builder.relax_code.label == 'relaxer'
    assert builder.relax_options.get_dict() == {'max_wallclock_seconds': 600}
    assert builder.parameters['relax']['engine'] == 'pyscf'
    builder = continuation(node, {}, {'relax': None})
    assert builder.parameters['relax'] is None
    assert 'relax_code' not in builder and 'relax_options' not in builder


def test_a_continuation_relaxes_with_another_code(build, python_code):
    """The one that is given then."""
    node = instantiate_process(get_manager().get_runner(), build()).node
    builder = continuation(node, {}, {}, python_code('second', 'qagenai.pyscf_cell'))
    assert builder.relax_code.label == 'second'


def test_phonons_need_phonopy_from_the_start(build, monkeypatch):
    """Not only when the first candidate is to be relaxed."""
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InvalidInputError, match='needs phonopy'):
        build(check_phonons=True)


def test_elements_that_cannot_be_relaxed_are_refused(build):
    """The basis of the relaxation is not that of the energies, and must cover the elements too."""
    with pytest.raises(InvalidInputError, match='the bases ccgto/cc-pvtz are not installed'):
        build(protocol='moderate')
