"""The commands that search print what the queries return, in three formats, and one line for an error."""

from __future__ import annotations

import csv
import io
import json

import pytest


def test_candidates_as_in_the_manual(toy, run):
    result = run('candidates', '--min-divergence', '0.02', '--max-e-above-hull', '0.1')
    assert '001-00002' in result.stdout
    assert '002-00002' in result.stdout
    assert '001-00003' not in result.stdout
    assert 'not scientific' in result.stdout
    assert '2 candidates' in result.stdout


def test_json_holds_every_column(toy, run):
    rows = json.loads(run('candidates', '--campaign', 'toy', '--cycle', '1', '--format', 'json').stdout)
    assert [row['name'] for row in rows] == ['001-00003', '001-00002', '001-00001', '001-00000']
    assert {'candidate_uuid', 'divergence_relative', 'note', 'formation_ccsdt'} <= set(rows[0])
    assert rows[0]['formation_pbe'] is None
    assert rows[0]['selected'] is False


def test_csv(toy, run):
    rows = list(csv.DictReader(io.StringIO(run('energies', '--each', '--format', 'csv').stdout)))
    assert len(rows) == 4 * 6
    assert {row['note'] for row in rows} == {'not scientific'}


def test_energies_side_by_side(toy, run):
    result = run('energies')
    assert 'CCSD(T)' in result.stdout
    assert '6 structures' in result.stdout


@pytest.mark.parametrize(
    ('arguments', 'count'),
    [(['--selected'], 4), (['--not-selected'], 4), (['--limit', '3'], 3), (['--formula', 'NaCl'], 0)],
)
def test_options(toy, run, arguments, count):
    assert len(json.loads(run('candidates', *arguments, '--format', 'json').stdout)) == count


def test_phases_of_a_campaign(toy, run):
    result = run('campaign', 'phases', 'toy', '--max-e-above-hull', '0.05')
    assert 'within 0.05 eV/atom of the predicted hull' in result.stdout and 'PBE mis-ranks' in result.stdout
    rows = json.loads(run('campaign', 'phases', 'toy', '--format', 'json').stdout)
    assert {row['phase'] for row in rows} == {'new'} and {row['formula'] for row in rows} == {'LiH'}


def test_campaign_list_and_show(toy, run):
    assert 'toy' in run('campaign', 'list').stdout
    result = run('campaign', 'show', toy.campaign.pk)
    assert 'hits: 2 of 4 computed candidates, 2 divergence hits' in result.stdout
    for text in ('finished', '4 of 40 spent', 'cycle002', 'not scientific', 'aiida-qagenai candidate list'):
        assert text in result.stdout
    content = json.loads(run('campaign', 'show', 'toy', '--format', 'json').stdout)
    assert content['counts']['candidates'] == 10
    assert [stage['stage'] for stage in content['stages']] == ['seed', 'cycle001', 'cycle002']
    ledger = list(csv.DictReader(io.StringIO(run('campaign', 'show', 'toy', '--format', 'csv').stdout)))
    assert [float(row['cycle']) for row in ledger] == [0, 1, 2]


def test_hits(toy, run):
    """One of the two candidates of each cycle is a hit at every level; the other one diverges."""
    result = run('campaign', 'hits', 'toy')
    assert '2 hits among 4 computed candidates, 2 of them unknown crystals' in result.stdout
    rows = list(csv.DictReader(io.StringIO(run('campaign', 'hits', 'toy', '--format', 'csv').stdout)))
    assert len(rows) == 4 * 4
    top = [row for row in rows if row['last'] == 'True' and row['cycle'] == '2']
    assert [(row['name'], row['level'], row['hit']) for row in top] == [
        ('002-00000', 'CCSD(T)', 'True'),
        ('002-00001', 'CCSD(T)', 'False'),
    ]
    assert [row['divergence_hit'] for row in top] == ['False', 'True']


def test_stopping_rules(toy, run):
    """Both cycles have a hit: no rule fires within them."""
    result = run('campaign', 'stopping', 'toy')
    assert 'C: 3 cycles without a hit' in result.stdout
    assert 'change by up to 0.0% when N is 2 or 4' in result.stdout
    rows = json.loads(run('campaign', 'stopping', 'toy', '--format', 'json').stdout)
    assert [(row['stops'], row['hits'], row['calls']) for row in rows] == [(False, 2, 4)] * 6


def test_failures(toy, run):
    """Rates by class with their intervals, and the share of simple packings."""
    result = run('campaign', 'failures', 'toy')
    for text in ('By chemistry', 'hydride', 'By open shells', 'closed', 'metallicity trap'):
        assert text in result.stdout
    content = json.loads(run('campaign', 'failures', 'toy', '--format', 'json').stdout)
    assert [row['name'] for row in content['classes']] == ['hydride', 'closed']
    assert [row['structures'] for row in content['packings']] == ['generated'] * 2
    rows = list(csv.DictReader(io.StringIO(run('campaign', 'failures', 'toy', '--format', 'csv').stdout)))
    assert [row['hits'] for row in rows] == ['2', '2']


def test_lineage(toy, run):
    for identifier in (toy.state['validator'].pk, toy.state['validator'].uuid):
        rows = json.loads(run('lineage', identifier, '--format', 'json').stdout)
        assert rows[0]['what'].startswith('PBE')
    assert 'Build_Dataset' in run('lineage', toy.state['validator'].pk).stdout


@pytest.mark.parametrize(
    ('arguments', 'status', 'text'),
    [
        (['candidates', '--campaign', 'nothing'], 1, 'known are: toy'),
        (['candidates', '--formula', 'Xx'], 1, 'not a chemical formula'),
        (['candidates', '--min-divergence', 'much'], 2, 'not a valid float'),
        (['candidates', '--sort', 'colour'], 2, 'colour'),
        (['energies', '--fidelity', 'B3LYP'], 1, 'unknown fidelity'),
        (['campaign', 'show', '999999'], 1, 'no campaign'),
        (['campaign', 'hits', '999999'], 1, 'no campaign'),
        (['campaign', 'stopping', '999999'], 1, 'no campaign'),
        (['campaign', 'failures', '999999'], 1, 'no campaign'),
        (['lineage', '999999'], 1, 'no checkpoint `999999`'),
        (['export', 'nothing', 'file'], 1, 'no campaign'),
        (['import', 'missing.aiida'], 1, 'no file'),
        (['dance'], 2, 'No such command'),
        (['--profile', 'nobody', 'candidates'], 1, 'nobody'),
    ],
)
def test_errors_say_what_is_wrong(toy, run, arguments, status, text):
    result = run(*arguments, status=status)
    assert text in result.output
    assert 'Traceback' not in result.output


def test_export_and_import(toy, run, tmp_path):
    file = tmp_path / 'toy.aiida'
    assert '10 candidates' in run('export', 'toy', file).stdout
    assert 'exists' in run('export', 'toy', file, status=1).output
    assert '0 of them new' in run('import', file).stdout
    file.write_bytes(file.read_bytes()[:-100])
    assert 'truncated' in run('import', file, status=1).output


def test_divergence(toy, run):
    rows = json.loads(run('divergence', '--campaign', 'toy', '--format', 'json').stdout)
    assert len(rows) == 6
    assert {'divergence_ccsdt', 'predicted', 'predicted_sigma', 'structure_uuid'} <= set(rows[0])


def test_ledger(toy, run):
    rows = list(csv.DictReader(io.StringIO(run('campaign', 'ledger', 'toy', '--format', 'csv').stdout)))
    assert [row['cycle'] for row in rows] == ['0', '1', '2']
    assert 'core hours' in run('campaign', 'ledger', 'toy').stdout


def test_empty_profile(aiida_profile_clean, run):
    assert '0 candidates' in run('candidates').stdout
    assert 'No campaign yet' in run('campaign', 'list').stdout
