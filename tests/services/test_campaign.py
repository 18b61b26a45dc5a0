"""A small campaign on PostgreSQL, RabbitMQ and SLURM over SSH: once undisturbed, once with everything going wrong."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.services

SETTINGS = {
    'budget': 20,
    'seed_set.num_structures': 6,
    'seed_set.max_atoms': 2,
    'seed_set.labels': '{SCAN: 2, HSE06: 2, CCSD(T): 2}',
    'generate.num_candidates': 12,
    'generate.max_atoms': 2,
    'generate.steps': 10,
    'screen.max_e_above_hull': 50,
    'select.num_clusters': 3,
    'learn.descriptor.initial_steps': 30,
    'learn.generator.initial_steps': 150,
    'learn.validator.initial_steps': 30,
    'learn.validator.tune_steps': 10,
    'stop.max_cycles': 1,
}
OPTIONS = ['--pyscf-code=pyscf@cluster', '--ml-code=qagenai-ml@cluster']

STATE = """
import collections
from aiida.common.links import LinkType
node = orm.load_node({pk})
calls = [node, *node.called_descendants]
query = orm.QueryBuilder().append(orm.Data, project=['node_type'], tag='data')
data = collections.Counter(row[0].split('.')[-2] for row in query.iterall() if 'qagenai' in row[0])
query = orm.QueryBuilder()
query.append(orm.ProcessNode, project='id', tag='process')
query.append(orm.Data, with_incoming='process', edge_project='label', edge_filters={{'type': LinkType.CREATE.value}})
created = [tuple(row) for row in query.all()]
query = orm.QueryBuilder()
query.append(orm.Data, filters={{'node_type': {{'like': 'data.qagenai.%'}}}}, project='id', tag='data')
query.append(orm.ProcessNode, with_outgoing='data', project='id')
linked = {{row[0] for row in query.all()}}
query = orm.QueryBuilder()
query.append(orm.Data, filters={{'node_type': {{'like': 'data.qagenai.energy.%'}}}}, project=['attributes'])
energies = [(row[0]['structure_uuid'], row[0]['fidelity']) for row in query.all()]
print(json.dumps({{
    'ok': node.is_finished_ok,
    'message': node.exit_message or str(node.exception),
    'data': data,
    'values': sorted(row[0]['total_energy'] for row in query.all()),
    'processes': collections.Counter(child.process_label for child in calls),
    'open': [child.pk for child in calls if not child.is_sealed],
    'repeated links': [row for row, count in collections.Counter(created).items() if count > 1],
    'half stored': sum(data.values()) - len(linked),
    'repeated energies': [row for row, count in collections.Counter(energies).items() if count > 1],
}}))
"""


class Campaign:
    """A campaign that was started."""

    def __init__(self, site) -> None:
        self.site = site
        settings = [part for name, value in SETTINGS.items() for part in ('--set', f'{name}={value}')]
        arguments = ['Li', 'H', '--protocol', 'quickstart', '--label', 'tested', '--no-follow', *OPTIONS, *settings]
        self.pk = site.run('aiida-qagenai', 'campaign', 'run', *arguments).split()[1]

    def state(self) -> dict:
        """Return counts of nodes and what is wrong with them."""
        return self.site.query(STATE.format(pk=self.pk))

    def wait_for_job(self, label: str) -> str:
        """Wait until a job of a kind is with the scheduler and return its number."""
        running = "a->>'job_id' IS NOT NULL AND a->>'process_state' NOT IN ('finished', 'excepted', 'killed')"
        condition = f"a->>'process_label' = '{label}' AND {running}"
        return self.site.wait_until(condition, "a->>'job_id'", timeout=900)[0]

    def resume(self) -> None:
        """Type what the how-to says."""
        self.site.run('aiida-qagenai', 'campaign', 'continue', self.pk, '--no-follow')

    def finish(self) -> dict:
        """Wait for the end and return the state, once nothing is repeated or left half-stored."""
        self.site.wait_for_end(self.pk, timeout=900)
        state = self.state()
        assert state['ok'], state['message']
        for fault in ('open', 'repeated links', 'repeated energies', 'half stored'):
            assert not state[fault], fault
        return state


@pytest.fixture(scope='module')
def undisturbed(new_site):
    """Return a campaign to which nothing happens."""
    campaign = Campaign(new_site('undisturbed'))
    campaign.finish()
    return campaign


def test_campaign_on_services(undisturbed):
    """Every candidate has its prediction and its assessment, and every job ran on the cluster."""
    data = undisturbed.state()['data']
    assert data['CandidateData'] - SETTINGS['seed_set.num_structures'] == SETTINGS['generate.num_candidates']
    assert data['PredictionData'] == data['AssessmentData'] == SETTINGS['generate.num_candidates']
    places = undisturbed.site.query(
        'query = orm.QueryBuilder().append(orm.CalcJobNode, tag="job").append(orm.Computer, with_node="job", '
        'project=["label", "scheduler_type", "transport_type"])\nprint(json.dumps(query.distinct().all()))'
    )
    assert places == [['cluster', 'core.slurm', 'core.ssh_async']]


def test_disturbed_campaign_ends_as_the_undisturbed_one(undisturbed, new_site, services):
    """A crash, a lost database, a lost broker, and a cancelled training later: the same nodes and energies."""
    campaign = Campaign(new_site('disturbed'))
    campaign.wait_for_job('PyscfCellCalculation')
    campaign.site.crash()
    campaign.resume()
    services['slurm'].run('scancel', campaign.wait_for_job('TrainCalculation'))
    campaign.wait_for_job('GenerateCalculation')
    services['postgresql'].restart()
    campaign.resume()
    campaign.wait_for_job('PyscfCellCalculation')
    services['rabbitmq'].restart()
    disturbed, expected = campaign.finish(), undisturbed.state()
    assert disturbed['data'] == expected['data']
    assert disturbed['values'] == pytest.approx(expected['values'])
    trainings = expected['processes'].pop('TrainCalculation')
    assert disturbed['processes'].pop('TrainCalculation') == trainings + 1
    assert disturbed['processes'] == expected['processes']


MANY = 6000
GENERATE = """
from aiida.engine import submit
from aiida_qagenai.calculations.generate import GenerateCalculation
query = orm.QueryBuilder()
query.append(orm.CalcJobNode, filters={{'process_type': {{'like': '%qagenai.generate'}}}})
builder = query.first()[0].get_builder_restart()
parameters = builder.parameters.get_dict()
request = {{'mode': 'composition', 'composition': {{'Li': 1, 'H': 1}}, 'count': {many}}}
builder.parameters = orm.Dict({{**parameters, 'requests': [request], 'steps': 2, 'seed': 5}})
builder.cycle = orm.Int(9)
builder.metadata.options.max_wallclock_seconds = 600
print(json.dumps(submit(builder).pk))
"""
CANDIDATES = "node_type LIKE 'data.qagenai.candidate.%' AND a->>'cycle' = '9'"
GENERATED = """
node = orm.load_node({pk})
links = node.base.links.get_outgoing(link_label_filter='candidates%').all_link_labels()
packed = node.outputs.candidate_set.base.attributes.get('num_structures')
print(json.dumps([node.is_finished_ok, len(links), len(set(links)), packed]))
"""


def test_worker_killed_inside_a_bulk_parser(undisturbed):
    """The parser has stored the first of its transactions; the next worker completes the batch, with nothing twice."""
    site = undisturbed.site
    pk = site.query(GENERATE.format(many=MANY))
    site.wait_until(CANDIDATES)
    site.kill_workers()
    stored = len(site.ask(CANDIDATES))
    assert stored < MANY
    site.wait_for_end(pk)
    assert site.query(GENERATED.format(pk=pk)) == [True, MANY, MANY, MANY]
    assert len(site.ask(CANDIDATES)) == MANY
