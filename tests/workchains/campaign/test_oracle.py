"""A campaign whose energies a foundation potential or a table gives, through the same work chains."""

from __future__ import annotations

import pytest
from aiida.engine import run_get_node
from aiida.orm import SinglefileData

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.queries.hits import hits
from aiida_qagenai.queries.stopping import stopping_rules
from aiida_qagenai.report.page import write_report
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.oracle import oracle_problem
from aiida_qagenai.workchains.campaign.seed import SeedWorkChain
from aiida_qagenai.workchains.protocols.campaign import campaign_settings

TABLE = {'kind': 'table', 'levels': {'PBE': 'gga', 'SCAN': 'best'}}
TINY = {
    'budget': 3,
    'seed_set': {'num_structures': 8, 'max_atoms': 2},
    'generate': {'num_candidates': 8, 'max_atoms': 2, 'steps': 10},
    'screen': {'max_e_above_hull': 100.0},
    'select': {'num_clusters': 2, 'fraction': 1.0, 'cap': 2},
    'learn': {
        'descriptor': {'initial_steps': 10},
        'validator': {'initial_steps': 10, 'tune_steps': 5},
    },
}


@pytest.mark.slow
def test_a_campaign_on_a_potential(ml_code, tmp_path):
    """It needs no PySCF, computes within its budget, places what it computed, and ends at a report."""
    pytest.importorskip('sevenn')
    builder = CampaignWorkChain.get_builder_from_protocol(
        ml_code=ml_code, elements=['Li', 'H'], protocol='machinery', overrides={**TINY, 'oracle': 'sevennet'}
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok or node.exit_status == 710, node.exit_message
    dataset, ledger = outputs['state']['dataset'], outputs['state']['ledger'].get_dict()
    assert dataset.base.attributes.get('level_tags') == {
        'PBE': 'potential:sevennet:mf-0:PBE',
        'SCAN': 'potential:sevennet:mf-0:R2SCAN',
    }
    assert ledger['spent'] <= 3 and len(ledger['cycles']) == 2
    assert ledger['cycles'][0]['core_hours']['potential'] > 0
    assert ledger['cycles'][0]['core_hours']['pyscf'] == 0
    assert dataset.base.attributes.get('force_counts')['PBE'] == dataset.counts['PBE']
    table = hits(node.pk)
    assert set(table['level']) <= {'PBE', 'SCAN'} and len(table) >= 1
    assert int(table['hit'][table['last']].sum()) == sum(cycle['hits'] for cycle in ledger['cycles'])
    assert len(stopping_rules(node.pk)) == 6
    (page,) = write_report(node.pk, tmp_path / 'report.html')
    assert 'potential oracle' in page.read_text()


@pytest.mark.slow
def test_the_initial_set_from_a_table(ml_code, tmp_path):
    """What the table has is learned, at no cost; strained copies of a compound have its energy."""
    rows = ('Li,0.0,0.0', 'H2,0.0,0.0', 'LiH,-0.4,-0.5')
    (tmp_path / 'table.csv').write_text('\n'.join(['formula,gga,best', *rows]))
    builder = SeedWorkChain.get_builder_from_protocol(
        ml_code=ml_code,
        elements=['Li', 'H'],
        protocol='machinery',
        overrides={**TINY, 'oracle': TABLE},
        oracle_table=SinglefileData(tmp_path / 'table.csv'),
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    labels = outputs['state']['dataset'].labels()
    assert set(labels.energies_of(Fidelity.PBE)[labels.groups == 'LiH']) == {-0.4}
    assert outputs['state']['dataset'].base.attributes.get('formation_scheme') == 'table'
    assert outputs['state']['ledger']['seed']['core_hours']['potential'] == 0
    assert outputs['state']['checkpoints']['validator'].base.attributes.get('role') == 'validator'


def test_the_top_rung_is_that_of_the_oracle(ml_code):
    """No label is asked for above it, and no code of PySCF."""
    settings = {'oracle': 'sevennet'}
    builder = CampaignWorkChain.get_builder_from_protocol(
        ml_code=ml_code, elements=['Li', 'H'], protocol='machinery', overrides=settings
    )
    parameters = builder.parameters.get_dict()
    assert parameters['energy']['top'] == 'SCAN'
    assert parameters['seed_set']['labels'] == {'SCAN': 6}
    assert parameters['screen']['hull_fidelity'] == 'SCAN'
    assert parameters['oracle']['levels']['SCAN'] == {'name': 'sevennet', 'model': 'mf-0', 'modality': 'R2SCAN'}


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({}, 'need `pyscf_code`'),
        ({'oracle': 'nothing'}, 'unknown oracle `nothing`'),
        ({'oracle': {'kind': 'potential', 'levels': {'SCAN': 'emt'}}}, '`levels` needs PBE'),
        ({'oracle': {'kind': 'potential', 'levels': {'PBE': 'validator'}}}, 'the validator learns from the energies'),
        ({'oracle': TABLE}, 'needs `oracle_table`'),
        ({'oracle': 'sevennet', 'energy': {'top': 'HSE06'}}, 'the oracle has energies of PBE, SCAN only'),
        ({'oracle': 'sevennet', 'relax': {'engine': 'pyscf'}}, 'use `screen.relax`'),
    ],
)
def test_what_cannot_work_is_refused(ml_code, changes, problem):
    """One line, before anything is computed."""
    inputs = {'ml_code': ml_code, 'elements': ['Li', 'H'], 'protocol': 'machinery', 'overrides': changes}
    with pytest.raises(InvalidInputError, match=problem):
        CampaignWorkChain.get_builder_from_protocol(**inputs)


def test_a_table_that_is_not_used_is_refused(aiida_profile_clean, tmp_path):
    (tmp_path / 'table.csv').write_text('formula,gga,best\nLiH,-0.4,-0.5\n')
    table = SinglefileData(tmp_path / 'table.csv')
    plain, used = campaign_settings('machinery'), campaign_settings('machinery', {'oracle': TABLE})
    assert 'would not be used' in oracle_problem(plain, {'oracle_table': table, 'pyscf_code': 'code'})
    assert oracle_problem(used, {'oracle_table': table}) is None
    assert used.with_top(Fidelity.SCAN).seed_set.labels == {Fidelity.SCAN: 6}
