"""What a campaign leaves in the graph, asked with the QueryBuilder alone, after a crash, a restart and an import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from aiida import orm

from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def campaign(campaign_archive, aiida_profile_factory, aiida_config):
    """Import the archive into an empty profile and return the campaign."""
    from aiida_qagenai.queries.archive import import_archive

    with aiida_profile_factory(aiida_config, storage_backend='core.sqlite_dos', storage_config={}, broker_backend=None):
        import_archive(campaign_archive[0])
        query = orm.QueryBuilder()
        query.append(orm.WorkChainNode, filters={'attributes.process_label': 'CampaignWorkChain'})
        yield query.one()[0]


def count(entity, **filters) -> int:
    """Return the number of nodes of a class."""
    return orm.QueryBuilder().append(entity, filters={f'attributes.{k}': v for k, v in filters.items()}).count()


def test_the_killed_campaign_finishes(campaign, campaign_archive):
    """It is the same process that goes on, and it ends well."""
    assert campaign.is_finished_ok, campaign.exit_message
    assert 'cycle 2' in campaign_archive[1]


def test_nothing_is_lost_or_counted_twice(campaign):
    """Every generated candidate has one prediction and one assessment, and every cycle its own candidates."""
    for cycle in (1, 2):
        assert count(CandidateData, cycle=cycle) == count(PredictionData, cycle=cycle) == 16
        assert count(AssessmentData, cycle=cycle) == 16
    processes = [child.process_label for child in campaign.called]
    assert processes.count('CycleWorkChain') == 2
    assert processes.count('SeedWorkChain') == 1


def test_no_energy_is_computed_twice(campaign):
    """One energy per structure and level, although the daemon died while they were computed."""
    query = orm.QueryBuilder().append(EnergyData, project=['attributes.structure_uuid', 'attributes.fidelity'])
    rows = [tuple(row) for row in query.all()]
    assert len(set(rows)) == len(rows)


def test_candidates_of_cycle_2_with_their_generator(campaign):
    """The checkpoint that generated a candidate is two links away."""
    query = orm.QueryBuilder()
    query.append(CheckpointData, filters={'attributes.role': 'generator'}, project='uuid', tag='generator')
    query.append(orm.CalcJobNode, with_incoming='generator', tag='generation')
    query.append(CandidateData, with_incoming='generation', filters={'attributes.cycle': 2}, project='uuid')
    rows = query.all()
    assert len(rows) == 16
    assert len({generator for generator, _ in rows}) == 1


def test_ccsdt_energies_with_structure_inputs_and_code(campaign):
    """Every CCSD(T) energy leads to the calculation that made it, generated candidates among them."""
    query = orm.QueryBuilder()
    query.append(EnergyData, filters={'attributes.fidelity': 'CCSD(T)'}, project='uuid', tag='energy')
    query.append(orm.CalcFunctionNode, with_outgoing='energy', tag='assembly')
    query.append(orm.Dict, with_outgoing='assembly', tag='results')
    query.append(orm.CalcJobNode, with_outgoing='results', tag='calculation')
    # AiiDA finds subclasses by the prefix of their entry point, so that candidates do not count as StructureData.
    kinds = (orm.StructureData, CandidateData)
    query.append(kinds, with_outgoing='calculation', project='attributes.cycle', tag='structure')
    query.append(orm.Dict, with_outgoing='calculation', edge_filters={'label': 'parameters'})
    query.append(orm.Code, with_outgoing='calculation', project='label')
    rows = query.all()
    assert len({row[0] for row in rows}) == count(EnergyData, fidelity='CCSD(T)')
    assert {row[2] for row in rows} == {'pyscf'}
    assert any(row[1] in (1, 2) for row in rows)


def test_lineage_from_the_last_validator_to_the_first_pbe_energy(campaign):
    """Training sets and checkpoints link the last model to the first energy."""
    validator = campaign.outputs.state.checkpoints.validator
    query = orm.QueryBuilder()
    query.append(CheckpointData, filters={'uuid': validator.uuid}, tag='validator')
    query.append(DatasetData, with_descendants='validator', filters={'attributes.labelled': True}, project='uuid')
    datasets = set(query.all(flat=True))
    assert len(datasets) == 3
    query = orm.QueryBuilder()
    query.append(CheckpointData, filters={'uuid': validator.uuid}, tag='validator')
    query.append(EnergyData, with_descendants='validator', filters={'attributes.fidelity': 'PBE'}, project='uuid')
    assert len(set(query.all(flat=True))) >= 8


def test_the_ledger_adds_up(campaign):
    """The calls of the cycles are the selected candidates, within the budget; the core hours are their sum."""
    ledger = campaign.outputs.state.ledger.get_dict()
    assert [cycle['cycle'] for cycle in ledger['cycles']] == [1, 2]
    assert ledger['spent'] == count(AssessmentData, selected=True) == sum(c['oracle_calls'] for c in ledger['cycles'])
    assert ledger['spent'] <= 20
    parts = [ledger['seed'], *ledger['cycles']]
    assert ledger['core_hours'] == pytest.approx(sum(sum(part['core_hours'].values()) for part in parts))


def test_numbers_of_the_pipeline_level_are_labelled(campaign):
    """No energy and no training set of this campaign claims to be a result."""
    assert count(EnergyData, scientific=True) == 0
    assert count(DatasetData, labelled=True, scientific=True) == 0


def test_a_stored_script_gives_the_stored_energy(campaign, tmp_path):
    """Run by hand with plain Python, the script of a calculation gives the energy of its node."""
    query = orm.QueryBuilder()
    query.append(EnergyData, filters={'attributes.fidelity': 'PBE'}, tag='energy', project='*')
    query.append(orm.CalcFunctionNode, with_outgoing='energy', tag='assembly')
    query.append(orm.Dict, with_outgoing='assembly', tag='results')
    query.append(orm.CalcJobNode, with_outgoing='results', project='*')
    energy, calculation = query.first()
    script = tmp_path / 'script.py'
    script.write_text(calculation.base.repository.get_object_content('script.py'))
    subprocess.run([sys.executable, script.name], cwd=tmp_path, check=True, capture_output=True)
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['total_energy'] == pytest.approx(energy.total_energy, abs=1e-6)
