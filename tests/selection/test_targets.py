"""What is asked for of a crystal, and which of many come near it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.design import design_target
from aiida_qagenai.selection.targets import (
    JointTarget,
    Predicted,
    PredictedParts,
    PredictedProperty,
    merit,
    parse_target,
    predict_parts,
    varied,
)

SURE, UNSURE, OTHER = Predicted(3.0, 0.2, 0.0), Predicted(3.0, 1.5, 0.3), Predicted(1.0, 0.2, 0.0)
METAL, UNSURE_METAL = Predicted(0.0, 0.1, 0.99), Predicted(0.0, 1.4, 0.6)


@pytest.mark.parametrize(
    'text',
    [
        'band_gap=1.5',
        'band_gap=1.2..1.8',
        'metallic',
        'bulk_modulus=350',
        'metallic, elf_high=0.1',
        'dos_mean=-5',
        'chi0_q_min=1e-05',
    ],
)
def test_a_target_says_what_it_was_read_from(text):
    assert parse_target(text).text == text and parse_target(parse_target(text).text) == parse_target(text)


@pytest.mark.parametrize(('text', 'near', 'far'), [('band_gap=3', SURE, OTHER), ('metallic', METAL, OTHER)])
def test_the_nearer_crystal_has_the_greater_merit(text, near, far):
    target = parse_target(text)
    assert merit(target, near, balanced=True) > merit(target, far, balanced=True)


@pytest.mark.parametrize(('text', 'sure', 'unsure'), [('band_gap=3', SURE, UNSURE), ('metallic', METAL, UNSURE_METAL)])
def test_of_two_as_near_the_surer_has_the_greater_merit(text, sure, unsure):
    target = parse_target(text)
    assert merit(target, sure, balanced=True) > merit(target, unsure, balanced=True)


def test_a_composition_without_balance_and_an_unlikely_motif_cost_merit():
    target = parse_target('band_gap=3')
    likely, unlikely = (merit(target, SURE, balanced=True, probability=each) for each in (0.5, 1e-6))
    assert likely > unlikely > merit(target, SURE, balanced=False, probability=0.5)
    assert merit(target, SURE, balanced=True) == merit(target, SURE, balanced=True, probability=math.nan)


def test_the_wider_a_gap_in_rare_states_the_less_it_is_believed():
    """A metal is as good."""
    costs = []
    for gap in (0.0, 1.0, 5.0):
        target, found = parse_target(f'band_gap={gap:g}'), Predicted(gap, 0.2, float(gap == 0))
        costs.append(merit(target, found, balanced=True) - merit(target, found, balanced=True, common=False))
    assert 0 == costs[0] < costs[1] < costs[2]


def test_a_modulus_is_near_by_its_ratio():
    target = parse_target('bulk_modulus=200')
    low, high, far = (
        merit(target, PredictedProperty({'bulk_modulus': value}, {'bulk_modulus': 0.05 * value}), balanced=True)
        for value in (100, 400, 800)
    )
    assert low == pytest.approx(high) and high > far


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from('abc')), max_size=20), st.integers(0, 8), st.integers(1, 3)
)
def test_few_of_one_kind_are_taken(kinds, count, most):
    kinds = [(str(number), letter) for number, letter in kinds]
    taken = varied(range(len(kinds)), kinds, count, most)
    assert taken == sorted(set(taken)) and len(taken) <= count
    found = [kind for index in taken for kind in kinds[index]]
    assert all(found.count(kind) <= most for kind in found)
    if len(taken) < count:
        left = [kinds[index] for index in range(len(kinds)) if index not in taken]
        assert all(any(found.count(kind) == most for kind in each) for each in left)


@pytest.mark.parametrize(
    'text',
    ['young_modulus=400', 'formation_energy=-2..-1.5', 'density=2..3', 'e_above_hull=0', 'mine.own:vacancy=0.5..1'],
)
def test_an_inverse_design_can_ask_for_more(text):
    target = design_target(text)
    assert target.text == text and target.holds(target.wanted) and target.error(target.wanted) == 0
    with pytest.raises(InvalidInputError, match='is not a target'):
        parse_target(text)


def test_errors_are_shares_of_what_is_positive_and_differences_otherwise():
    assert design_target('density=2').error(3.0) == pytest.approx(0.5)
    assert design_target('formation_energy=-2..-1').error(-1.0) == pytest.approx(0.5)
    assert design_target('poisson_ratio=0.2..0.3').away(0.25) == 0
    assert design_target('poisson_ratio=0.2').away(0.25) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('yung_modulus=400', 'did you mean `young_modulus`'),
        ('colour=3', 'write one of bulk_modulus, shear_modulus'),
        ('density=-1', 'a density is positive'),
        ('formation_energy=-1..-2', 'a window ends after it begins'),
        ('density=heavy', 'write density=VALUE'),
        ('band_gap=1', 'no potential computes band gaps'),
        ('mine:vacancy=1', 'a function needs a window'),
    ],
)
def test_what_cannot_be_asked_for_is_said(text, words):
    with pytest.raises(InvalidInputError, match=words):
        design_target(text)


def test_several_properties_count_together():
    """A crystal is within all windows, and its distance is that of all parts in their tolerances."""
    target = parse_target('band_gap=1.5,elf_high=0.1')
    assert isinstance(target, JointTarget)

    def predicted(gap, share):
        return PredictedParts((Predicted(gap, 0.1, 0.0), PredictedProperty({'elf_high': share}, {'elf_high': 0.01})))

    assert target.contains(predicted(1.6, 0.12)) and not target.contains(predicted(1.6, 0.2))
    assert target.distance(predicted(1.5, 0.1)) == 0
    assert target.distance(predicted(1.8, 0.1)) == pytest.approx(target.distance(predicted(1.5, 0.15))) == 1
    merits = [merit(target, predicted(*pair), balanced=True) for pair in ((1.5, 0.1), (1.5, 0.3), (3.0, 0.3))]
    assert merits == sorted(merits, reverse=True)
    assert merit(target, predicted(1.5, 0.1), balanced=True, common=False) < merits[0] - 1
    assert predicted(1.5, 0.1).record().keys() >= {'band_gap', 'elf_high', 'elf_high_sigma'}


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('elf_hgh=0.4', 'did you mean `elf_high`'),
        ('band_gap=1, band_gap=2', 'asks for band_gap twice'),
        ('chi0_q_min=0', 'is positive'),
        ('nothing=1', 'write band_gap=1.5'),
    ],
)
def test_what_no_model_predicts_is_said(text, words):
    with pytest.raises(InvalidInputError, match=words):
        parse_target(text)


def test_each_model_is_asked_once_for_several_properties():
    asked = []

    def predict(part):
        asked.append(part)
        return [Predicted(1.0, 0.1, 0.0)] if part.text.startswith('band_gap') else [PredictedProperty({}, {})]

    target = parse_target('elf_high=0.1, band_gap=1, dos_mean=-5, bulk_modulus=100')
    (found,) = predict_parts(target, predict)
    assert len(asked) == 3 and [isinstance(each, Predicted) for each in found.parts] == [False, True, False, False]
