"""Verdicts on ordered crystals: constraints before and after, duplicates, hull and front."""

from __future__ import annotations

import json

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.evaluation.ordered import judge_ordered, summary_of, verdict_on_stability
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

HULL = ReferenceHull.from_phases([Phase('MgO', -3.0, identifier='mp-1', level='MP2020')])


def rock_salt(edge: float) -> Structure:
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), ['Mg', 'O'], [[0, 0, 0], [0.5] * 3])


def zinc_blende(edge: float) -> Structure:
    return Structure.from_spacegroup('F-43m', Lattice.cubic(edge), ['Mg', 'O'], [[0, 0, 0], [0.25] * 3])


def outcome(energy: float | None, losses=(0.0,), *, before=(0.5,), values=(6.0,)) -> dict:
    ordered = {
        'values_before': [5.0],
        'losses_before': list(before),
        'satisfied_before': [loss == 0 for loss in before],
        'values': list(values),
        'losses': list(losses),
        'satisfied': [loss == 0 for loss in losses],
    }
    reason = '' if energy is not None else 'not converged in 200 steps'
    return {'converged': energy is not None, 'energy_per_atom': energy, 'reason': reason, 'ordered': ordered}


def judge(*items, **options):
    structures, outcomes = zip(*items, strict=True)
    names = [f'n{row}' for row in range(len(items))]
    return judge_ordered(names, structures, outcomes, weights=[2.0], of_formation=True, hull=HULL, **options)


def test_a_verdict_says_what_became_of_constraints_and_stability():
    first, second = judge((rock_salt(4.2), outcome(-3.0)), (zinc_blende(4.6), outcome(-2.7, [1.5])), error=0.025)
    assert (first.loss_before, first.loss, first.satisfied_before, first.satisfied) == (1.0, 0.0, False, True)
    assert (first.space_group, first.stability, first.on_front, first.e_above_hull_error) == (225, 'near', True, 0.025)
    assert second.e_above_hull == pytest.approx(0.3)
    assert (second.loss, second.satisfied, second.stability, second.on_front) == (3.0, False, 'far', False)


def test_of_equal_crystals_the_lowest_competes():
    first, second, third = judge(
        (rock_salt(4.20), outcome(-2.9)), (rock_salt(4.21), outcome(-2.95)), (zinc_blende(4.6), outcome(None))
    )
    assert (first.duplicate_of, first.reason, first.e_above_hull) == ('n1', 'the same as n1', None)
    assert second.duplicate_of is None and second.e_above_hull == pytest.approx(0.05)
    assert third.stability == 'unknown' and third.reason == 'not converged in 200 steps'


def test_the_hull_says_how_complete_it_is():
    """Calcium has no phase but the element."""
    structure = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.8), ['Ca', 'O'], [[0, 0, 0], [0.5] * 3])
    (verdict,) = judge((structure, outcome(-3.0)))
    assert verdict.complete is False and verdict.missing == ('Ca-O',)


def test_a_constraint_without_its_elements_has_no_loss():
    (verdict,) = judge((rock_salt(4.2), outcome(-3.0, values=[None])))
    assert verdict.loss is None and not verdict.on_front


def test_what_was_not_relaxed_has_no_verdict_on_constraints():
    left_out = {'converged': False, 'energy_per_atom': None, 'reason': 'not relaxed: minimum distance'}
    (verdict,) = judge((rock_salt(1.9), left_out))
    assert not verdict.satisfied and verdict.loss is None and verdict.reason.startswith('not relaxed')


def test_counts_and_records():
    verdicts = judge((rock_salt(4.2), outcome(-3.0)), (zinc_blende(4.6), outcome(-2.7, [1.5])), error=0.025)
    counts = summary_of(verdicts)
    assert (counts['structures'], counts['distinct'], counts['satisfied and near the hull']) == (2, 2, 1)
    assert json.loads(json.dumps(verdicts[0].to_dict()))['satisfied'] is True


def test_a_distance_within_the_error_of_the_limit_is_open():
    assert verdict_on_stability(0.08, 0.025) == 'open' == verdict_on_stability(0.12, 0.025)
    assert verdict_on_stability(0.07, 0.025) == 'near' and verdict_on_stability(0.13, 0.025) == 'far'
    assert verdict_on_stability(0.09, None) == 'near' and verdict_on_stability(None, 0.025) == 'unknown'
