"""Judge the results of a benchmark by what was planned before it was run."""

from __future__ import annotations

import dataclasses

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.evaluation.plans import Plan

__all__ = ('judge_plan',)


@calcfunction
def judge_plan(plan: Dict, results: Dict) -> Dict:
    """Return what came out of every comparison of a plan.

    :param plan: content of a pre-registration, see :class:`~aiida_qagenai.evaluation.plans.Plan`.
    :param results: values by arm.
    :returns: ``plan_sha256``, and ``comparisons``, see :class:`~aiida_qagenai.evaluation.comparisons.Compared`.
    :raises InvalidInputError: if the plan is none, or the results are not those of its arms.
    """
    planned = Plan.parse(plan.get_dict(), 'the plan')
    found = planned.judge(results.get_dict())
    comparisons = [{**dataclasses.asdict(each), 'significant': each.is_significant()} for each in found]
    return Dict({'plan_sha256': planned.sha256, 'comparisons': comparisons})
