"""A campaign that relaxes its candidates: both structures are found, and no candidate is counted twice."""

from __future__ import annotations

import pytest
from aiida.orm import load_node
from fake_campaign import make_campaign

from aiida_qagenai.cli.loaders import load_structure
from aiida_qagenai.databases.server.resources import _resources
from aiida_qagenai.queries import searches
from aiida_qagenai.queries.archive import export_campaign, import_archive
from aiida_qagenai.queries.integrity import check_integrity


@pytest.fixture(scope='module')
def campaign(aiida_profile):
    aiida_profile.reset_storage()
    return make_campaign('toy', 'pipeline', relaxes=True)


def test_one_row_for_each_candidate(campaign):
    """The row is that of the relaxed candidate, and leads to the unrelaxed one."""
    table = searches.candidates('toy', sort_by='name')
    names = ['000-00000', '000-00001'] + [f'00{c}-0000{i}' for c in (1, 2) for i in range(4)]
    assert table['name'].tolist() == names
    row = table.set_index('name').loc['001-00002']
    relaxed = load_node(row['candidate_uuid'])
    before = load_node(int(row['unrelaxed_pk']))
    assert before.uuid == row['relaxed_from'] and relaxed.get_cell_volume() == pytest.approx(15.0)
    assert before.get_cell_volume() > 16 and 'relaxed_from' not in before.base.attributes.all
    assert bool(row['relaxation_converged']) and row['relaxation_steps'] == 7 and row['divergence'] == 0.02
    last = table.set_index('name').loc['001-00003']
    assert not last['relaxation_converged'] and last['relaxation_reason'] == 'toy reason'
    assert table.set_index('name').loc['000-00000'].isna()['relaxed_from']


def test_what_was_predicted_before_the_relaxation_finds_nothing(campaign):
    """The unrelaxed candidates were predicted to diverge by 1 eV/atom: what counts is the relaxed ones."""
    assert searches.candidates('toy', min_divergence=0.5).empty
    assert searches.candidates(min_divergence=0.5).empty
    assert len(searches.candidates('toy', min_divergence=0.02)) == 4
    assert len(searches.candidates('toy', formula='LiH', cycle=1)) == 4
    assert searches.candidates('toy', selected=True)['formation_pbe'].notna().all()


def test_the_summary_counts_a_candidate_once(campaign):
    summary = searches.campaign_summary('toy')
    assert summary.counts['candidates'] == 10 and summary.counts['relaxed'] == 6
    assert summary.counts['predictions'] == 16 and summary.counts['assessments'] == 8
    assert summary.hull_gaps == ('LiH2',)


def test_commands_show_both(campaign, run):
    shown = run('candidate', 'list', '--campaign', 'toy', '--cycle', '1').output
    assert 'unrelaxed pk' in shown and '4 candidates' in shown
    assert 'unrelaxed pk' not in run('candidate', 'list', '--campaign', 'toy', '--cycle', '0').output
    shown = run('campaign', 'show', 'toy').output
    assert '10 candidates, 6 relaxed' in shown and 'without a known structure: LiH2' in shown
    # the name of a candidate means the relaxed one
    assert load_structure('001-00000').get_cell_volume() == pytest.approx(15.0)


def test_the_server_tells_relaxed_ones_apart(campaign):
    row = searches.candidates('toy', cycle=1, sort_by='name').iloc[0]
    kinds = {item['id']: item['kind'] for item in _resources({row['candidate_uuid'], row['relaxed_from']})}
    assert kinds == {row['candidate_uuid']: 'relaxed', row['relaxed_from']: 'candidate'}


def test_nothing_changes_in_an_archive(campaign, tmp_path, aiida_profile):
    """The same rows after an import elsewhere, and a whole graph."""
    before = searches.candidates('toy', sort_by='name')
    assert not check_integrity().faults
    export_campaign('toy', tmp_path / 'toy.aiida')
    aiida_profile.reset_storage()
    import_archive(tmp_path / 'toy.aiida')
    after = searches.candidates('toy', sort_by='name')
    assert after['candidate_uuid'].tolist() == before['candidate_uuid'].tolist()
    assert [load_node(int(pk)).uuid for pk in after['unrelaxed_pk'].dropna()] == before[
        'relaxed_from'
    ].dropna().tolist()
    report = check_integrity()
    assert not report.faults and report.checked['candidates'] == 16 + 8 + 8
