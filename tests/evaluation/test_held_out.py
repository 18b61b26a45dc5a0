"""The split of the shipped models."""

import collections

from aiida_qagenai.evaluation.held_out import is_held_out, part_of


def test_a_tenth_is_held_out_and_half_of_it_validates():
    formulas = [f'Li{n}O{m}' for n in range(1, 60) for m in range(1, 60)]
    shares = collections.Counter(part_of(formula) for formula in formulas)
    assert 0.04 < shares['validation'] / len(formulas) < 0.06 and 0.04 < shares['test'] / len(formulas) < 0.06
    assert all(is_held_out(formula) == (part_of(formula) != 'train') for formula in formulas)


def test_the_rule_of_the_cards():
    """The cards of what is shipped state this rule; a change would let models be measured on what they have seen."""
    parts = {'NaCl': 'train', 'SrTiO3': 'train', 'BN': 'validation', 'SiC': 'validation', 'TiO2': 'test', 'ZnS': 'test'}
    assert {formula: part_of(formula) for formula in parts} == parts
