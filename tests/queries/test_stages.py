"""Where a campaign stands: the steps of its stages, in every state that they can be in."""

from __future__ import annotations

import pytest
from aiida.common import timezone
from aiida.orm import CalcFunctionNode, CalcJobNode
from timed_processes import SETTINGS, call, campaign, energy, ladder, stage

from aiida_qagenai.queries.durations import History, Kind
from aiida_qagenai.queries.ladders import Count
from aiida_qagenai.queries.stages import Context, expected_links, read_stage, stages_of

pytestmark = pytest.mark.usefixtures('frozen_time')


@pytest.fixture
def cycle(pyscf_code):
    """Return a cycle that has generated candidates, looked up known crystals and predicts, and its campaign."""
    node = campaign(pyscf_code)
    running = stage(node, 'cycle001')
    computer = pyscf_code.computer
    call(running, 'generate', 'Generate', CalcJobNode, seconds=30, computer=computer)
    call(running, 'known', 'find_known_phases', CalcFunctionNode, seconds=1)
    call(running, 'predict', 'Predict', CalcJobNode, state='waiting', age=20, computer=computer)
    return node, running


def read(node, history: History | None = None):
    """Return the last stage of a campaign."""
    code = node.inputs.ml_code
    context = Context(node.inputs.parameters.get_dict(), code.computer.pk, history or History(), timezone.now())
    return read_stage(stages_of(node.pk)[-1], context)


def states(found) -> dict[str, str]:
    return {step.name: step.state for step in found.steps}


def test_a_cycle_in_the_middle(cycle):
    """What is behind, what runs, and what is to come; nothing is relaxed in this campaign."""
    found = read(cycle[0])
    assert (found.name, found.state) == ('cycle 1', 'running')
    assert states(found) == {
        'generate': 'done',
        'screen': 'done',
        'predict': 'running',
        'relax': 'left out',
        'select': 'to come',
        'compute': 'to come',
        'hull': 'to come',
        'learn': 'to come',
    }


def test_a_campaign_that_has_just_begun(pyscf_code):
    node = campaign(pyscf_code)
    assert stages_of(node.pk) == []
    stage(node, 'seed')
    assert states(read(node)) == {'seed': 'to come', 'compute': 'to come', 'learn': 'to come'}


def test_a_step_of_a_running_process_has_a_time(cycle):
    predict = next(step for step in read(cycle[0]).steps if step.name == 'predict')
    assert predict.elapsed == pytest.approx(20)
    assert predict.left is None


def test_the_time_left_of_a_step(cycle):
    """What the like took here, less what it has taken."""
    node, _ = cycle
    history, kind = History(), Kind('CycleWorkChain', 'predict', 'fast', node.inputs.ml_code.computer.pk)
    history.add(kind, 30, 100.0)
    history.add(kind._replace(task='trainvalidator'), 100, 40.0)
    steps = {step.name: step for step in read(node, history).steps}
    assert steps['predict'].left == pytest.approx(80)
    assert steps['learn'].left == pytest.approx(40.0)
    assert steps['compute'].left is None
    assert steps['select'].left == 0.0
    assert steps['hull'].left == 0.0


def test_energies_are_counted_by_rung(cycle, pyscf_code):
    node, running = cycle
    energies = ladder(running, pyscf_code, {'a': ['PBE', 'SCAN']})
    energy(energies, 'a', 'PBE')
    compute = next(step for step in read(node).steps if step.name == 'compute')
    assert compute.counts == {'PBE': Count(1, 1), 'SCAN': Count(0, 1)}
    assert compute.ladder.unknown == ('SCAN',)


def test_models_are_counted(cycle, pyscf_code):
    """The validator in every cycle."""
    node, running = cycle
    call(running, 'dataset', 'build_dataset', CalcFunctionNode)
    call(running, 'trainvalidator', 'Train', CalcJobNode, state='waiting', computer=pyscf_code.computer)
    learn = read(node).steps[-1]
    assert (learn.state, learn.counts) == ('running', {'models': Count(0, 1)})


def test_a_job_that_failed(pyscf_code):
    node = campaign(pyscf_code)
    broken = stage(node, 'cycle001', state='finished')
    call(broken, 'generate', 'Generate', CalcJobNode, status=310, computer=pyscf_code.computer)
    assert states(read(node))['generate'] == 'failed'
    assert states(read(node))['compute'] == 'left out'


def test_a_stage_that_was_lost_counts_once(pyscf_code):
    """It is called again under a longer label."""
    node = campaign(pyscf_code)
    stage(node, 'cycle001', state='excepted', age=900)
    again = stage(node, 'cycle001again', age=100)
    assert [child.pk for child in stages_of(node.pk)] == [again.pk]


def test_candidates_are_counted_where_they_are_made(toy_campaign):
    context = Context({}, None, History(), timezone.now())
    generate = read_stage(stages_of(toy_campaign.campaign.pk)[-1], context).steps[0]
    assert generate.counts == {'candidates': Count(4, None)}


def test_hits_are_counted(toy_campaign):
    """Of the two candidates that were computed one is a hit."""
    context = Context({}, None, History(), timezone.now())
    steps = {step.name: step for step in read_stage(stages_of(toy_campaign.campaign.pk)[-1], context).steps}
    assert steps['hull'].counts == {'hits': Count(1, 2)}


@pytest.fixture
def toy_campaign(aiida_profile_clean):
    """Return a finished campaign of two cycles with four candidates each."""
    from fake_campaign import make_campaign

    return make_campaign('toy')


@pytest.mark.parametrize(
    ('step', 'cycle_number', 'changes', 'links'),
    [
        ('learn', 0, {}, ['dataset', 'traindescriptor', 'trainvalidator', 'ledger']),
        ('learn', 1, {}, ['dataset', 'trainvalidator', 'ledger']),
        ('learn', 5, {}, ['dataset', 'trainvalidator', 'traindescriptor', 'traingenerator', 'ledger']),
        ('learn', 5, {'generate': {'external': {'program': 'x'}}}, ['dataset', 'trainvalidator', 'ledger']),
        ('relax', 1, {}, []),
        ('relax', 1, {'screen': {'relax': {'potential': 'chgnet'}}}, ['relax', 'predictrelaxed']),
    ],
)
def test_what_a_step_is_expected_to_call(step, cycle_number, changes, links):
    assert expected_links(step, {**SETTINGS, **changes}, cycle_number) == links
