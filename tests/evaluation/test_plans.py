"""Plans of benchmarks: what they allow, and their checksums."""

import json

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.plans import Plan, read_plan

PLAN = {
    'title': 'Is it better?',
    'hypotheses': ['It is.'],
    'arms': ['new', 'old'],
    'comparisons': [{'arm': 'new', 'control': 'old'}],
    'seeds': [0, 1, 2],
    'unit': 'hits per run',
    'tests': 'Welch',
    'settings': {'threshold': 0.1},
}


def test_what_was_planned_is_judged():
    (found,) = Plan.parse(PLAN).judge({'new': [5, 6, 7], 'old': [1, 2, 3]})
    assert (found.arm, found.difference, found.is_significant()) == ('new', 4.0, True)


@pytest.mark.parametrize('samples', [{'new': [1, 2]}, {'new': [1, 2], 'old': [1, 2], 'another': [3, 4]}])
def test_arms_cannot_be_left_out_or_added(samples):
    with pytest.raises(InvalidInputError, match='not those of the plan'):
        Plan.parse(PLAN).judge(samples)


def test_a_comparison_of_what_is_not_run_is_refused():
    with pytest.raises(InvalidInputError, match='not run: random'):
        Plan.parse({**PLAN, 'comparisons': [{'arm': 'new', 'control': 'random'}]})


def test_the_checksum_is_that_of_the_content(tmp_path):
    first, second = tmp_path / 'first.json', tmp_path / 'second.json'
    first.write_text(json.dumps(PLAN))
    second.write_text(json.dumps(dict(reversed(PLAN.items())), indent=3))
    assert read_plan(first).sha256 == read_plan(second).sha256
    assert Plan.parse({**PLAN, 'settings': {'threshold': 0.2}}).sha256 != read_plan(first).sha256


def test_a_file_that_is_no_plan_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r'none\.json'):
        read_plan(tmp_path / 'none.json')
