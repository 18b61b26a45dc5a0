"""Band gaps that are asked for, and the crystals that come nearest."""

import math

import pytest

import aiida_qagenai.api as qagenai
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.targets import GapTarget, Predicted, PredictedProperty, PropertyTarget, parse_target

METAL, NARROW, WIDE = Predicted(0.0, 0.1, 0.9), Predicted(1.4, 0.3, 0.1), Predicted(5.0, 0.4, 0.0)


@pytest.mark.parametrize(
    ('text', 'inside'),
    [
        ('band_gap=1.5', [False, True, False]),
        ('band_gap = 4..6', [False, False, True]),
        ('metallic', [True, False, False]),
        ('band_gap=0', [True, False, False]),
    ],
)
def test_the_window_of_a_target(text, inside):
    target = GapTarget.parse(text)
    assert [target.contains(each) for each in (METAL, NARROW, WIDE)] == inside
    nearest = min((METAL, NARROW, WIDE), key=target.distance)
    assert target.contains(nearest)


def test_a_window_prefers_nothing_inside_and_a_value_does():
    assert GapTarget.parse('band_gap=1..2').distance(NARROW) == 0
    assert GapTarget.parse('band_gap=1.5').distance(NARROW) == pytest.approx(0.1)


@pytest.mark.parametrize('text', ['band_gap', 'band_gap=2..1', 'elf_high=0.4', 'band_gap=-1', 'band_gap=..2'])
def test_what_is_no_target_is_refused(text):
    with pytest.raises(InvalidInputError, match=r'not a target: write band_gap=1.5'):
        GapTarget.parse(text)


def test_crystals_with_the_gap_come_first():
    options = {'refine': False, 'max_atoms': 8}
    plain = qagenai.generate(['Ga', 'N'], 3, **options)
    near = qagenai.generate(['Ga', 'N'], 3, target='band_gap=1', **options)
    assert all(each.predicted is None for each in plain)
    gaps = [each.predicted.band_gap for each in near]
    assert 0.5 < gaps[0] < 1.5 and gaps == sorted(gaps, key=lambda gap: abs(gap - 1))


def modulus(value):
    return PredictedProperty(
        {'bulk_modulus': value, 'shear_modulus': 1.0}, {'bulk_modulus': 10.0, 'shear_modulus': 1.0}
    )


def test_a_modulus_is_asked_for_within_a_tenth():
    target = parse_target('bulk_modulus=350')
    assert isinstance(target, PropertyTarget) and str(target) == 'bulk modulus of 315 to 385 GPa'
    assert [target.contains(modulus(value)) for value in (300, 320, 380, 400)] == [False, True, True, False]
    assert target.distance(modulus(175)) == pytest.approx(target.distance(modulus(700)))
    window = parse_target('bulk_modulus = 80..120')
    assert window.distance(modulus(100)) == 0 < window.distance(modulus(121))
    assert isinstance(parse_target('band_gap=1'), GapTarget)


@pytest.mark.parametrize('text', ['bulk_modulus', 'bulk_modulus=0', 'shear_modulus=3..2', 'bulk_modulus=-4'])
def test_what_is_no_modulus_is_refused(text):
    with pytest.raises(InvalidInputError, match='is not a target'):
        parse_target(text)


def test_crystals_with_the_modulus_come_first():
    found = qagenai.generate(['W', 'C'], 3, target='bulk_modulus=350', refine=False, max_atoms=4)
    moduli = [each.predicted.values['bulk_modulus'] for each in found]
    assert moduli == sorted(moduli, key=lambda value: abs(math.log(value / 350))) and moduli[0] > 250


def test_localisation_and_gap_are_asked_for_together():
    """The crystals that come first are nearer to both than those that nothing is asked of."""
    options = {'refine': False, 'max_atoms': 8}
    target = parse_target('band_gap=3, elf_high=0.1')
    near = qagenai.generate(['Mg', 'O'], 3, target=target, **options)
    distances = [target.distance(each.predicted) for each in near]
    assert distances == sorted(distances)
    assert {'band_gap', 'elf_high'} <= near[0].predicted.record().keys()
