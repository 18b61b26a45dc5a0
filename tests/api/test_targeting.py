"""Band gaps that are asked for, and the crystals that come nearest."""

import pytest

import aiida_qagenai.api as qagenai
from aiida_qagenai.api.targeting import GapTarget, Predicted
from aiida_qagenai.common.errors import InvalidInputError

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
    assert [target.contains(each.band_gap) for each in (METAL, NARROW, WIDE)] == inside
    nearest = min((METAL, NARROW, WIDE), key=target.distance)
    assert target.contains(nearest.band_gap)


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
