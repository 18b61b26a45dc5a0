"""A whole campaign on the services, undisturbed and then with every fault, and its bulk parsers killed at their work.

It is the protocol `machinery` with fewer structures, steps and one cycle; every stage is real. The undisturbed campaign
is the reference of the other tests.
"""

from __future__ import annotations

import typing as t

import pytest

pytestmark = pytest.mark.services

SETTINGS = {
    'budget': 1,
    'seed_set.num_structures': 4,
    'seed_set.max_atoms': 2,
    'seed_set.labels': '{SCAN: 1, HSE06: 1, CCSD(T): 1}',
    'generate.num_candidates': 24,
    'generate.max_atoms': 2,
    'generate.neutral_fraction': 0.75,
    'generate.steps': 20,
    'screen.max_e_above_hull': 50,
    'select.fraction': 1.0,
    'select.num_clusters': 3,
    'learn.descriptor.initial_steps': 40,
    'learn.generator.start': 'nothing',
    'learn.generator.size': 'tiny',
    'learn.generator.initial_steps': 200,
    'learn.validator.initial_steps': 40,
    'learn.validator.tune_steps': 20,
    'stop.max_cycles': 1,
    'run.max_concurrent': 4,
}
CENSUS = """
import collections
from aiida.common.links import LinkType
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData
root = orm.load_node({pk})
processes = [root, *root.called_descendants]
ok = [process for process in processes if process.is_finished_ok]
created, creators, labels = collections.Counter(), collections.Counter(), []
for process in processes:
    links = process.base.links.get_outgoing(link_type=(LinkType.CALL_WORK, LinkType.CALL_CALC)).all()
    names = collections.Counter(link.link_label for link in links)
    labels += [f'{{process.process_label}}: {{name}}' for name, count in names.items() if count > 1]
for process in ok:
    for link in process.base.links.get_outgoing(link_type=LinkType.CREATE).all():
        created[f'{{process.process_label}}: {{type(link.node).__name__}}'] += 1
        creators[link.node.pk] += 1
cached = [process.pk for process in processes if process.base.caching.get_cache_source()]
query = orm.QueryBuilder().append(EnergyData, project=['attributes.structure_uuid', 'attributes.fidelity'], tag='e')
query.append(orm.CalculationNode, with_outgoing='e', filters={{'id': {{'in': [p.pk for p in processes]}}}})
energies = collections.Counter(map(tuple, query.all()))
kinds = (AssessmentData, CandidateData, EnergyData, PredictionData)
whole = {{}}
for kind in kinds:
    stored = orm.QueryBuilder().append(kind).count()
    linked = orm.QueryBuilder().append(orm.CalculationNode, tag='p')
    linked.append(kind, with_incoming='p', edge_filters={{'type': LinkType.CREATE.value}})
    whole[kind.__name__] = stored - linked.count()
print(json.dumps({{
    'ended': root.is_finished_ok,
    'message': root.exit_message or root.process_status or str(root.exception),
    'ok': collections.Counter(process.process_label for process in ok),
    'not ok': sorted([p.process_label, p.exit_status, p.process_state.value] for p in processes if p not in ok),
    'unsealed': [process.pk for process in processes if not process.is_sealed],
    'paused': [process.pk for process in processes if process.paused],
    'cached': cached,
    'created': created,
    'two creators': [pk for pk, count in creators.items() if count > 1],
    'two calls of a label': labels,
    'energies twice': [key for key, count in energies.items() if count > 1],
    'without one creator': whole,
}}))
"""


class Campaign:
    """A campaign under way, watched through the database."""

    def __init__(self, site, label: str) -> None:
        self.site = site
        site.run('verdi', 'config', 'unset', 'caching.enabled_for')
        codes = ('--pyscf-code', 'pyscf@cluster', '--ml-code', 'qagenai-ml@cluster', '--options', str(site.options))
        settings = [part for name, value in SETTINGS.items() for part in ('--set', f'{name}={value}')]
        arguments = ('--protocol', 'machinery', '--label', label, '--no-follow', *codes, *settings)
        self.pk = site.run('aiida-qagenai', 'campaign', 'run', 'Li', 'H', *arguments).split()[1]

    def wait_for(self, process: str, state: str, count: int = 1) -> list[str]:
        """Wait until processes of that label, started by this campaign, are in a state; return their pks."""
        condition = f"id > {self.pk} AND a->>'process_label' = '{process}' AND {state}"
        return self.site.wait_until(condition, count=count, timeout=900)

    def proceed(self) -> None:
        """Bring the campaign back; it is the same one that goes on."""
        printed = self.site.run('aiida-qagenai', 'campaign', 'continue', self.pk, '--no-follow')
        assert f'campaign {self.pk} goes on' in printed

    def end(self) -> dict[str, t.Any]:
        """Wait for the end and return what the campaign has left in the graph."""
        self.site.wait_for_end(self.pk, timeout=1800)
        census = self.site.query(CENSUS.format(pk=self.pk))
        assert census['ended'], census['message']
        for problem in ('unsealed', 'paused', 'cached', 'two creators', 'two calls of a label', 'energies twice'):
            assert not census[problem], problem
        assert set(census['without one creator'].values()) == {0}
        return census


@pytest.fixture(scope='module')
def site(new_site):
    """Return a profile for the campaigns."""
    return new_site('campaign')


@pytest.fixture(scope='module')
def undisturbed(site):
    """Return the pk and the census of a campaign that nothing happened to."""
    campaign = Campaign(site, 'undisturbed')
    return campaign.pk, campaign.end()


WITH_SCHEDULER = "a->>'job_id' IS NOT NULL AND a->>'process_state' = 'waiting'"


def test_a_campaign_on_the_services(undisturbed):
    """All of it runs on SLURM over SSH, and nothing fails."""
    _, census = undisturbed
    assert not census['not ok']
    assert census['created']['GenerateCalculation: CandidateData'] == 24
    assert census['created']['PredictCalculation: PredictionData'] == 24


AGAIN = """
from aiida.engine import submit
original = next(node for node in orm.load_node({pk}).called_descendants if node.process_label == '{label}')
print(json.dumps([original.pk, submit(original.get_builder_restart()).pk]))
"""
COMPARE = """
from aiida.common.links import LinkType
def outputs(pk):
    links = orm.load_node(pk).base.links.get_outgoing(link_type=LinkType.CREATE).all()
    return {{link.link_label: link.node.base.attributes.all for link in links if '__' in link.link_label}}
first, second = (outputs(pk) for pk in {pks})
node = orm.load_node({pks}[1])
labels = node.base.links.get_outgoing().all_link_labels()
print(json.dumps([node.is_finished_ok, node.is_sealed, len(first), first == second, len(labels) - len(set(labels))]))
"""
MOMENTS = {
    'in the transaction': (
        "INSERT ON db_dblink FOR EACH ROW WHEN (NEW.type = 'create' AND NEW.label LIKE '%\\_\\_c00005')"
    ),
    'before the end': "UPDATE ON db_dbnode FOR EACH ROW WHEN (NEW.attributes->>'process_state' = 'finished')",
}


@pytest.mark.parametrize('moment', MOMENTS)
@pytest.mark.parametrize('label', ['GenerateCalculation', 'PredictCalculation'])
def test_worker_killed_inside_a_bulk_parser(undisturbed, site, label, moment):
    """Killed at a moment when its outputs are half stored, or stored while it has not ended: none is lost or double."""
    with site.hold(MOMENTS[moment]) as worker_is_held:
        pks = site.query(AGAIN.format(pk=undisturbed[0], label=label))
        site.wait_for_truth(worker_is_held)
        site.kill_workers()
    site.wait_for_end(pks[1])
    assert site.query(COMPARE.format(pks=pks)) == [True, True, 24, True, 0]


def test_a_campaign_with_every_fault(undisturbed, site, services):
    """Whatever happens during the run, what it leaves behind is that of the undisturbed campaign."""
    slurm = services['slurm']
    campaign = Campaign(site, 'disturbed')

    campaign.wait_for('PyscfCellCalculation', WITH_SCHEDULER, count=2)
    services['rabbitmq'].restart()

    campaign.wait_for('EnergyWorkChain', "a->>'process_state' = 'finished'", count=2)
    cancelled, *others = site.wait_for_truth(slurm.freeze)
    slurm.run('scancel', cancelled)
    slurm.thaw(*others)

    campaign.wait_for('EnergyWorkChain', "a->>'process_state' = 'finished'", count=5)
    services['sshd'].restart(pause=5)

    campaign.wait_for('LadderWorkChain', "a->>'process_state' = 'waiting'")
    overdue, *others = site.wait_for_truth(slurm.freeze)
    slurm.thaw(*others)
    slurm.overrun(overdue)

    campaign.wait_for('TrainCalculation', WITH_SCHEDULER)
    site.crash()
    campaign.proceed()

    campaign.wait_for('GenerateCalculation', WITH_SCHEDULER)
    services['postgresql'].restart(pause=2)

    campaign.wait_for('PredictCalculation', WITH_SCHEDULER)
    site.kill_workers()

    census, expected = campaign.end(), undisturbed[1]
    assert census['ok'] == expected['ok']
    assert census['created'] == expected['created']
    assert [label for label, _, _ in census['not ok']] == ['PyscfCellCalculation'] * 2
