"""Divergence against the top rung in tables."""

from __future__ import annotations

import pandas as pd
import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.queries.campaigns import Campaign, tops
from aiida_qagenai.queries.energies import computed_divergence


def test_the_divergence_of_each_row_is_that_of_its_top_rung():
    """A row whose top rung was not computed has none, whatever lies below."""
    table = pd.DataFrame(
        {
            'formation_pbe': [-1.0, -1.0, -1.0],
            'formation_scan': [-1.1, -1.1, -1.1],
            'formation_hse06': [-1.3, -1.3, -1.3],
            'formation_ccsdt': [-1.5, -1.5, None],
            'top_fidelity': ['CCSD(T)', 'HSE06', 'CCSD(T)'],
        }
    )
    found = computed_divergence(table)['divergence_computed'].tolist()
    assert found[:2] == pytest.approx([0.5, 0.3])
    assert pd.isna(found[2])


def test_the_top_rung_of_a_campaign_is_an_input(aiida_profile_clean):
    """Campaigns from before it was recorded have CCSD(T)."""
    campaigns = []
    for energy in ({'top': 'HSE06'}, {}):
        node = orm.WorkChainNode()
        node.base.links.add_incoming(orm.Dict({'energy': energy}).store(), LinkType.INPUT_WORK, 'parameters')
        campaigns.append(Campaign(f'campaign{len(campaigns)}', None, (node.store().pk,)))
    assert tops(campaigns) == {'campaign0': 'HSE06', 'campaign1': 'CCSD(T)'}
