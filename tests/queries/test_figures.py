"""The tables behind the figures, in a campaign whose numbers are known."""

from __future__ import annotations

import pytest
from aiida.orm import load_node
from fake_campaign import FakeCampaign, make_campaign

from aiida_qagenai.queries import figures
from aiida_qagenai.queries.campaigns import find_campaign


@pytest.fixture(scope='module')
def toy(aiida_profile):
    aiida_profile.reset_storage()
    make_campaign('toy')
    return make_campaign('relaxed', relaxes=True)


def test_the_funnel_sums_the_cycles(toy):
    counts = figures.funnel_counts('toy')
    assert counts == {'generated': 8, 'within constraints': 8, 'new': 8, 'stable': 6, 'selected': 4}


def test_predictions_stand_beside_what_was_computed(toy):
    table = figures.predicted_and_computed('toy')
    assert len(table) == 2 * 4 + 2 * 2 * 4  # the initial set, and two candidates of two cycles, at four rungs
    assert table['predicted'].isna().sum() == 8 and set(table[table['predicted'].isna()]['cycle']) == {0}
    row = table[(table['name'] == '002-00001') & (table['fidelity'] == 'CCSD(T)')].iloc[0]
    assert (row['computed'], row['predicted'], row['sigma']) == (pytest.approx(-0.49), -0.5, 0.02)
    assert row['error'] == pytest.approx(-0.01)
    assert load_node(row['energy_uuid']).base.attributes.get('structure_uuid') == row['candidate_uuid']
    assert load_node(row['prediction_uuid']).base.attributes.get('candidate_uuid') == row['candidate_uuid']


def test_divergences_lead_to_both_energies(toy):
    table = figures.computed_divergences('toy')
    assert table['name'].tolist() == ['001-00001', '002-00001', '001-00000', '002-00000']
    assert table['computed'].tolist() == pytest.approx([0.01, 0.01, 0.0, 0.0])
    assert table['predicted'].tolist() == pytest.approx([0.01, 0.01, 0.0, 0.0]) and set(table['audit']) == {False}
    first = table.iloc[0]
    low, high = (load_node(first[name]).base.attributes.get('fidelity') for name in ('pbe_uuid', 'top_uuid'))
    assert (low, high) == ('PBE', 'CCSD(T)') and first['top_fidelity'] == 'CCSD(T)'


def test_calls_are_counted_from_the_first_cycle(toy):
    assert figures.top_rung_results('toy')['call'].tolist() == [0, 0, 1, 2, 3, 4]


def test_costs_of_stages(toy):
    """The jobs of the fake campaign have no results: they are counted and cost nothing."""
    table = figures.stage_costs('toy')
    assert table['stage'].tolist() == ['seed', 'cycle001', 'cycle002'] and set(table['component']) == {'models'}
    assert table['jobs'].tolist() == [3, 3, 3] and table['core_hours'].sum() == 0


def test_distances_and_hull(toy):
    assert sorted(figures.assessed_distances('toy').round(3)) == sorted([0.0, 0.05, 0.1, 0.15] * 2)
    found = figures.last_hull('toy')
    assert found.level == 'CCSD(T)' and set(found.inputs) == {'competing', 'arrays'}
    assert found.candidates['energy'].tolist() == [-0.5] * 4
    relaxed = figures.last_hull('relaxed').candidates
    assert all('relaxed_from' in load_node(uuid).base.attributes.all for uuid in relaxed['candidate_uuid'])


def test_a_campaign_that_has_just_begun(toy):
    young = FakeCampaign('young')
    young.start()
    assert figures.funnel_counts('young') == {} and figures.last_hull('young') is None
    assert len(figures.predicted_and_computed('young')) == len(figures.computed_divergences('young')) == 0
    assert len(figures.stage_costs('young')) == 0 and not len(figures.assessed_distances('young'))
    assert figures.calculations_of(find_campaign('young')) == []
