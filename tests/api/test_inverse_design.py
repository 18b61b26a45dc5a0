"""Rounds of inverse design: what is computed, what is a hit, and what goes on."""

import json
import math

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.api import DesignPlan, design
from aiida_qagenai.api.inverse_design import _designed, _nearest, check_judge, judge
from aiida_qagenai.api.tasks import run_quietly
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.design import PER_FORMULA, design_target, unseen

TARGET = design_target('bulk_modulus=250')


def salt(first, second, edge):
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


CRYSTALS = [
    salt('Na', 'Cl', 5.64),
    salt('Ti', 'C', 4.33),
    salt('Ti', 'C', 4.6),
    salt('Ti', 'C', 4.1),
    salt('K', 'Br', 6.6),
]


def test_the_nearest_are_computed_and_few_of_one_formula():
    plan = DesignPlan(TARGET, [('Ti', 'C')], per_round=3)
    chosen, predicted = _nearest(plan, CRYSTALS, None, run_quietly)
    formulas = [each.composition.reduced_formula for each in chosen]
    assert len(chosen) == 3 and formulas.count('TiC') == PER_FORMULA
    distances = [abs(math.log(value / 250)) for value in predicted]
    assert distances == sorted(distances)


def test_what_an_earlier_round_had_is_not_computed_again():
    left = unseen(CRYSTALS, [CRYSTALS[0].copy(), CRYSTALS[4]])
    assert [CRYSTALS[index].composition.reduced_formula for index in left] == ['TiC']


@pytest.mark.parametrize(
    ('value', 'stable', 'energy', 'hit'),
    [(252.0, True, -9.3, True), (150.0, True, -9.3, False), (None, False, -9.3, False), (252.0, True, -7.0, False)],
    ids=['hit', 'soft', 'unstable', 'above the hull'],
)
def test_a_hit_is_stable_near_the_hull_and_has_the_modulus(value, stable, energy, hit):
    plan = DesignPlan(TARGET, [('Ti', 'C')])
    outcome = {'bulk_modulus_vrh': value, 'mechanically_stable': stable, 'energy_per_atom': energy, 'reason': ''}
    outcome['potential'] = 'chgnet:0.3.0:0.4.2'
    (found,) = _designed(plan, 0, CRYSTALS[1:2], [240.0], [(CRYSTALS[1], outcome)])
    assert found.hit is hit and found.computed == value and found.predicted == 240.0
    assert found.hull.startswith('complete')


def test_potentials_without_a_place_on_the_hull_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match='levels never meet in one hull'):
        design(DesignPlan(TARGET, [('Al', 'Cu')], potential='emt'), tmp_path)


@pytest.mark.parametrize(('text', 'first'), [('density=2', 'NaCl'), ('formation_energy=-0.8', 'TiC')])
def test_what_no_head_predicts_is_chosen_by_as_well(text, first):
    """Densities are those of the proposals, energies those of the validator."""
    plan = DesignPlan(design_target(text), [('Ti', 'C')], per_round=2)
    chosen, predicted = _nearest(plan, CRYSTALS, None, run_quietly)
    assert chosen[0].composition.reduced_formula == first
    assert abs(predicted[0] - plan.target.wanted) < 0.4


@pytest.mark.parametrize(
    ('judge_name', 'words'), [('chgnet', 'the same potential'), ('validator', 'heads stand on it')]
)
def test_a_judge_is_independent(judge_name, words):
    with pytest.raises(InvalidInputError, match=words):
        check_judge(DesignPlan(TARGET, [('Ti', 'C')]), judge_name)
    check_judge(DesignPlan(TARGET, [('Ti', 'C')]), 'sevennet')


@pytest.mark.slow
def test_two_rounds_and_a_judge(tmp_path):
    """Crystals of both rounds differ, the heads are retrained after each, and a second run computes nothing."""
    pytest.importorskip('chgnet')
    plan = DesignPlan(TARGET, [('Ti', 'C'), ('V', 'N')], rounds=2, per_system=8, per_round=2, max_atoms=2)
    found = design(plan, tmp_path)
    rounds = [[each.generated for each in found if each.round == number] for number in (0, 1)]
    assert all(1 <= len(generated) <= plan.per_round for generated in rounds)
    # Few crystals of two atoms are distinct, so that the last round may have less than it may compute.
    assert unseen(rounds[1], rounds[0]) == list(range(len(rounds[1])))
    assert all(each.computed is None or each.e_above_hull is not None for each in found)
    card = json.loads((tmp_path / 'round1' / 'retraining' / 'checkpoint' / 'config.json').read_text())
    assert card['configuration']['parent_sha256']
    journal = (tmp_path / 'round0' / 'elastic' / 'elastic.jsonl').read_text().strip()
    again = design(plan, tmp_path)
    assert [each.computed for each in again] == [each.computed for each in found]
    assert (tmp_path / 'round0' / 'elastic' / 'elastic.jsonl').read_text().strip() == journal
    judged = judge([each.structure for each in found], 'chgnet:r2scan', TARGET, tmp_path / 'judge')
    assert len(judged) == len(found)
