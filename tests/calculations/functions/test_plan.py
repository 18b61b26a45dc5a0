"""Results of a benchmark, judged by its plan, in the graph."""

import pytest
from aiida.orm import Dict

from aiida_qagenai.calculations.functions.plan import judge_plan
from aiida_qagenai.evaluation.plans import Plan

PLAN = {
    'title': 'Is it better?',
    'hypotheses': ['It is.'],
    'arms': ['new', 'old'],
    'comparisons': [{'arm': 'new', 'control': 'old'}],
    'seeds': [0, 1, 2],
    'unit': 'hits per run',
    'tests': 'Welch',
}


@pytest.mark.usefixtures('aiida_profile')
def test_the_plan_is_an_input_and_its_checksum_is_in_the_result():
    plan = Dict(PLAN)
    found = judge_plan(plan, Dict({'new': [5, 6, 7], 'old': [1, 2, 3]}))
    assert found.creator.inputs.plan.uuid == plan.uuid
    assert found['plan_sha256'] == Plan.parse(PLAN).sha256
    (compared,) = found['comparisons']
    assert compared['difference'] == 4.0 and compared['significant']
