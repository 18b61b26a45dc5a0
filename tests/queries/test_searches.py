"""The tables say what the graph holds, for one campaign, several, and one that was cut and continued."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from aiida.orm import QueryBuilder
from fake_campaign import FakeCampaign, finish, make_campaign
from plumpy.process_states import ProcessState

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.queries import searches
from aiida_qagenai.queries.campaigns import find_campaign


@pytest.fixture(scope='module')
def toy(aiida_profile):
    """Return a finished campaign at the pipeline level and, beside it, one that was cut in cycle 2 and continued."""
    aiida_profile.reset_storage()
    toy = make_campaign('toy', 'pipeline')
    cut = FakeCampaign('cut', 'fast')
    cut.first = cut.start()
    cut.seed(cut.first)
    cut.cycle(cut.first, 1)
    cut.cycle(cut.first, 2, until='energies')
    cut.second = cut.start()
    cut.cycle(cut.second, 2)
    toy.other = cut
    return toy


def test_candidates_of_one_campaign(toy):
    table = searches.candidates('toy', sort_by='name')
    assert table['name'].tolist() == ['000-00000', '000-00001'] + [f'00{c}-0000{i}' for c in (1, 2) for i in range(4)]
    row = table.set_index('name').loc['002-00001']
    assert (row['formula'], row['chemical_system'], row['space_group_number']) == ('LiH', 'H-Li', 225)
    assert (row['divergence'], row['e_above_hull'], row['stability']) == (0.01, 0.05, 'metastable')
    assert row['formation_pbe'] == -0.5
    assert row['formation_ccsdt'] == pytest.approx(-0.49)
    assert row['divergence_computed'] == pytest.approx(0.01)
    assert row['selected']


def test_candidates_near_a_target(toy):
    """By the predicted gap, the nearest first; those without a prediction have no error."""
    table = searches.candidates('toy', cycle=1, target='band_gap=1.2', sort_by='target_error')
    assert table['band_gap'].tolist() == [1.0, 1.5, 0.5, 0.0]
    assert table['target_error'].tolist() == pytest.approx([0.2, 0.3, 0.7, 1.2])
    near = searches.candidates('toy', target='band_gap=1.2', max_target_error=0.25)
    assert near['name'].tolist() == ['001-00002', '002-00002']
    metals = searches.candidates('toy', target='metallic', max_target_error=0)
    assert metals['name'].tolist() == ['001-00000', '002-00000'] and 'band_gap_computed' in metals
    assert 'target_error' not in searches.candidates('toy')


def test_candidates_near_a_descriptor(toy):
    """Shares by their difference, widths by their ratio, and several things together in their tolerances."""
    table = searches.candidates('toy', cycle=1, target='elf_high=0.21', sort_by='target_error')
    assert table['elf_high'].tolist() == pytest.approx([0.2, 0.3, 0.1, 0.0])
    assert table['target_error'].tolist() == pytest.approx([0.01, 0.09, 0.11, 0.21])
    widths = searches.candidates('toy', cycle=1, target='dos_std=2', sort_by='name')
    assert widths['target_error'].tolist() == pytest.approx(np.abs(np.log([0.5, 1.0, 1.5, 2.0])))
    both = searches.candidates('toy', cycle=1, target='band_gap=1, elf_high=0.1', sort_by='name')
    assert both['target_error'].tolist() == pytest.approx(np.hypot([1 / 0.3, 0.5 / 0.3, 0, 0.5 / 0.3], [2, 0, 2, 4]))
    assert 'descriptors' not in both


@pytest.mark.parametrize(
    'options',
    [
        {'max_target_error': 1.0},
        {'sort_by': 'target_error'},
        {'target': 'bulk'},
        {'target': 'bulk_modulus=100'},
    ],
)
def test_an_error_needs_a_target(toy, options):
    with pytest.raises(InvalidInputError, match=r'target|no predicted bulk_modulus'):
        searches.candidates('toy', **options)


def test_campaign_of_each_candidate(toy):
    table = searches.candidates()
    assert table['campaign'].value_counts().to_dict() == {'toy': 10, 'cut': 10}
    assert set(searches.candidates('cut')['campaign']) == {'cut'}


def test_filters_equal_filtering_the_whole_table(toy):
    table = searches.candidates()
    expected = table[(table['divergence'] >= 0.02) & (table['e_above_hull'] <= 0.1)]
    found = searches.candidates(min_divergence=0.02, max_e_above_hull=0.1)
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True), check_dtype=False)
    assert found['name'].tolist() == ['001-00002', '001-00002', '002-00002', '002-00002']


@pytest.mark.parametrize(
    ('filters', 'count'),
    [
        ({'cycle': 1}, 4),
        ({'selected': True}, 4),
        ({'selected': False}, 4),
        ({'stability': 'stable'}, 2),
        ({'formula': 'H2Li2'}, 10),
        ({'formula': 'LiCl'}, 0),
        ({'chemical_system': 'Li-H'}, 10),
        ({'chemical_system': 'H-Li-O'}, 0),
        ({'computed': True}, 6),
        ({'computed': False}, 4),
        ({'limit': 3}, 3),
        ({'min_divergence': 10.0}, 0),
        ({'exclude': ['out_of_distribution', 'f_electrons']}, 10),
        ({'exclude': ['magnetic']}, 8),
    ],
)
def test_each_filter(toy, filters, count):
    assert len(searches.candidates('toy', **filters)) == count


def test_sorting(toy):
    assert searches.candidates('toy', cycle=1)['divergence'].tolist() == [0.03, 0.02, 0.01, 0.0]
    assert searches.candidates('toy', cycle=1, sort_by='score')['name'].tolist()[0] == '001-00000'
    with pytest.raises(InvalidInputError, match='cannot sort'):
        searches.candidates(sort_by='colour')
    with pytest.raises(InvalidInputError, match='unknown flag'):
        searches.candidates(exclude=['colour'])


def test_pipeline_numbers_are_labelled_everywhere(toy):
    assert set(searches.candidates('toy')['note']) == {'not scientific'}
    assert set(searches.energies('toy')['note']) == {'not scientific'}
    assert set(searches.energies_side_by_side('toy')['note']) == {'not scientific'}
    assert searches.campaign_summary('toy').note == 'not scientific'
    assert set(searches.lineage(toy.state['validator'].pk)['note']) == {'not scientific'}
    assert set(searches.candidates('cut')['note']) == {''}
    assert set(searches.energies('cut')['note']) == {''}
    assert searches.campaign_summary('cut').note == ''
    assert set(searches.lineage(toy.other.state['validator'].pk)['note']) == {''}


def test_cut_cycle_counts_once(toy):
    """Cycle 2 ran twice: only the candidates of the run that finished are listed, in both kinds of search."""
    assert QueryBuilder().append(CandidateData, filters={'attributes.cycle': 2}).count() == 12
    for table in (searches.candidates('cut', cycle=2), searches.candidates(cycle=2, sort_by='name')):
        ours = table[table['note'] == '']
        assert len(ours) == 4
    finished = toy.other.second.called[0].called[0].outputs.candidates
    assert set(searches.candidates('cut', cycle=2)['candidate_uuid']) == {node.uuid for node in finished.values()}
    assert searches.campaign_summary('cut').counts['candidates'] == 2 + 4 + 4
    assert searches.campaign_summary('cut').counts['CCSD(T)'] == 2 + 2 + 2


def test_energies(toy):
    table = searches.energies('toy')
    assert len(table) == 4 * 6
    assert len(searches.energies('toy', fidelity='ccsd(t)')) == 6
    assert len(searches.energies()) == 4 * (6 + 8)
    with pytest.raises(InvalidInputError, match='unknown fidelity'):
        searches.energies(fidelity='B3LYP')


def test_energies_of_protocols_never_share_a_row(toy):
    wide = searches.energies_side_by_side()
    assert set(wide['protocol']) == {'pipeline', 'fast'}
    assert len(wide) == 6 + 8


@pytest.mark.parametrize('arguments', [{'formula': 'Xx2'}, {'chemical_system': 'Li-Xx'}])
def test_unknown_element_is_refused(toy, arguments):
    with pytest.raises(InvalidInputError):
        searches.candidates(**arguments)


def test_campaign_is_found_by_label_pk_and_uuid(toy):
    for identifier in ('toy', 'qagenai/campaign/toy', toy.campaign.pk, str(toy.campaign.pk), toy.campaign.uuid):
        assert find_campaign(identifier).label == 'toy'
    assert find_campaign(toy.other.first.pk).processes == (toy.other.first.pk, toy.other.second.pk)
    for wrong in ('nothing', 10**6, toy.state['dataset'].uuid):
        with pytest.raises(InvalidInputError, match=r'known are: .*toy'):
            find_campaign(wrong)


def test_campaigns(toy):
    table = searches.campaigns().set_index('label')
    assert table.loc['toy', ['state', 'cycles', 'spent', 'budget', 'candidates']].tolist() == ['finished', 2, 4, 40, 10]
    assert table.loc['cut', 'pk'] == toy.other.second.pk


def test_summary(toy):
    summary = searches.campaign_summary('toy')
    assert (summary.state, summary.spent, summary.budget, summary.core_hours) == ('finished', 4, 40, 13.0)
    assert summary.elements == ('Li', 'H')
    assert summary.stages['stage'].tolist() == ['seed', 'cycle001', 'cycle002']
    assert summary.stages['selected'].tolist()[1:] == [2, 2]
    assert summary.stages['hits'].tolist()[1:] == [1, 1]
    assert summary.started < summary.last_change


def test_ledger(toy):
    table = searches.cost_ledger('toy')
    assert table['cycle'].tolist() == [0, 1, 2]
    assert table['core_hours_pyscf'].tolist()[1:] == [4.0, 4.0]
    assert table['energies_CCSD(T)'].tolist()[1:] == [2, 2]


def test_running_campaign_says_how_to_go_on(toy):
    summary = searches.campaign_summary('cut')
    assert summary.state == 'running'
    assert f'aiida-qagenai campaign continue {toy.other.second.pk}' in summary.advice


def test_lineage_reaches_the_first_energy(toy):
    table = searches.lineage(toy.state['validator'].uuid)
    assert table['kind'].value_counts().to_dict() == {'energy': 4 * 6, 'dataset': 3, 'checkpoint': 3}
    assert table.iloc[0]['what'].startswith('PBE of LiH')
    assert table.iloc[-1]['pk'] == toy.state['validator'].pk
    linked = table[table['used_by'].notna()]
    assert len(linked) == len(table) - 1
    assert set(linked['used_by']) <= set(table['pk'])
    assert (table['made_by'] != '').all()


def test_lineage_of_something_else_is_refused(toy):
    with pytest.raises(InvalidInputError, match='starts from a checkpoint'):
        searches.lineage(toy.state['dataset'].pk)
    with pytest.raises(InvalidInputError, match='no node'):
        searches.lineage(10**6)


def test_divergences_computed_beside_predicted(toy):
    table = searches.divergences('toy').set_index('name')
    assert len(table) == 6
    row = table.loc['002-00001']
    assert row['divergence_ccsdt'] == pytest.approx(-0.01)
    assert row['divergence_scan'] == pytest.approx(0.0)
    assert row['predicted'] == pytest.approx(0.01)
    assert row['note'] == 'not scientific'
    assert pd.isna(table.loc['000-00001', 'predicted'])


def test_divergences_above_a_threshold(toy):
    found = searches.divergences('toy', min_divergence=0.005)
    assert set(found['name'].str[-1]) == {'1'}
    assert searches.divergences('toy', min_divergence=1.0).empty


def test_empty_profile_gives_empty_tables(aiida_profile_clean):
    assert searches.candidates().empty
    assert searches.candidates(min_divergence=0.05, max_e_above_hull=0.1).empty
    assert searches.energies().empty
    assert searches.energies_side_by_side().empty
    assert searches.campaigns().empty


@pytest.mark.parametrize(
    ('state', 'exit_status', 'expected'),
    [
        (ProcessState.FINISHED, 411, 'failed'),
        (ProcessState.FINISHED, 710, 'finished'),
        (ProcessState.KILLED, None, 'killed'),
        (ProcessState.EXCEPTED, None, 'excepted'),
    ],
)
def test_states(aiida_profile_clean, state, exit_status, expected):
    campaign = FakeCampaign('young').start()
    finish(campaign, exit_status, state)
    summary = searches.campaign_summary('young')
    assert summary.state == expected
    assert ('campaign continue' in summary.advice) == (expected != 'finished')
    assert searches.cost_ledger('young').empty


def test_latest_prediction_counts(running, aiida_profile_clean):
    """A candidate that was predicted twice has one row, with the newer prediction."""
    from batch_processes import make_candidates, make_prediction

    from aiida_qagenai.engine.bulk import link_inputs, store_outputs

    candidate = store_outputs(running(), make_candidates(1))['candidates__c00000']

    def predict(index: int) -> None:
        process = running()
        link_inputs(process, {'members__c00000': candidate})
        store_outputs(process, {'predictions__c00000': make_prediction(candidate.uuid, index)})

    for index in (1, 2):
        predict(index)
    table = searches.candidates()
    assert table['divergence'].tolist() == [0.02]
    assert QueryBuilder().append(PredictionData).count() == 2
    predict(0)
    assert searches.candidates(min_divergence=0.01).empty


def test_candidate_that_no_process_made_is_found(aiida_profile_clean):
    from batch_processes import make_candidates

    next(iter(make_candidates(1).values())).store()
    assert len(searches.candidates()) == 1


def test_run_again_and_fork(aiida_profile_clean):
    """A group with a campaign, an independent second run, and two continuations of the first."""
    fake = FakeCampaign('many', n=2)
    first = fake.start()
    fake.seed(first)
    fake.cycle(first, 1)
    fake.finish_with_state(first)
    after_first = fake.state
    fake.state = {}
    again = fake.start()
    fake.seed(again)
    fake.state = after_first
    left = fake.start()
    fake.cycle(left, 2)
    fake.state = after_first
    right = fake.start()
    fake.cycle(right, 2)
    assert find_campaign('many').processes == (first.pk, right.pk)
    assert find_campaign(first.pk).processes == (first.pk, right.pk)
    assert find_campaign(left.pk).processes == (first.pk, left.pk)
    assert find_campaign(again.pk).processes == (again.pk,)
    assert len(searches.campaigns()) == 3
    for pk, cycles in ((left.pk, [0, 0, 1, 1, 2, 2]), (again.pk, [0, 0])):
        assert sorted(searches.candidates(pk)['cycle']) == cycles
    assert len(searches.candidates()) == 2 + 2 + 2 + 2 + 2


def test_only_finished_cycles_are_counted(aiida_profile_clean):
    fake = FakeCampaign('young', n=2)
    campaign = fake.start()
    fake.seed(campaign)
    fake.cycle(campaign, 1, until='predict')
    assert searches.campaigns()['cycles'].tolist() == [0]
