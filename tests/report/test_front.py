"""The picture of ordered crystals: losses against distances to the hull."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.report.front import draw_front, plot_front

VERDICT = {'formula': 'SiO2', 'e_above_hull_error': 0.025}
VERDICTS = [
    {**VERDICT, 'name': 'a', 'loss': 0.0, 'e_above_hull': 0.2, 'satisfied': True, 'on_front': True},
    {**VERDICT, 'name': 'b', 'loss': 1.0, 'e_above_hull': 0.0, 'satisfied': False, 'on_front': True},
    {**VERDICT, 'name': 'c', 'loss': 1.0, 'e_above_hull': 0.3, 'satisfied': False, 'on_front': False},
    {**VERDICT, 'name': 'd', 'loss': 1.0, 'e_above_hull': None, 'satisfied': False, 'on_front': False},
]


def test_the_front_is_named_and_has_the_error_above(tmp_path):
    (axes,) = draw_front(VERDICTS, limit=0.1, note='± 0.025 eV/atom').axes
    names = {text.get_text() for text in axes.texts}
    assert names == {'SiO2 a', 'SiO2 b'} and axes.get_title() == '± 0.025 eV/atom'
    assert axes.get_ylabel() == 'distance to the hull (eV/atom)'
    assert plot_front(VERDICTS, tmp_path / 'front.svg', limit=0.1).read_text().startswith('<?xml')


def test_without_a_distance_there_is_nothing_to_draw():
    with pytest.raises(InvalidInputError, match='no front to draw'):
        draw_front(VERDICTS[3:], limit=0.1)
