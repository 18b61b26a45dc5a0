"""Pictures are checked before they are drawn, and replaced as a whole."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import new_figure, picture_path, save_figure


def test_an_unknown_ending_and_nothing_to_draw_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r'ends in \.png, \.svg, \.pdf'):
        picture_path(tmp_path / 'a.gif', [1])
    with pytest.raises(InvalidInputError, match='nothing to draw'):
        picture_path(tmp_path / 'a.png', [])
    assert picture_path(tmp_path / 'a.PNG', [1]) == tmp_path / 'a.PNG'


def test_a_picture_that_cannot_be_drawn_leaves_the_earlier_one(tmp_path):
    path = tmp_path / 'a.svg'
    figure, axes = new_figure(2, 2)
    axes.plot([0, 1])
    save_figure(figure, path)
    before = path.read_bytes()
    axes.set_title('$\\notacommand$')
    with pytest.raises(ValueError, match='notacommand'):
        save_figure(figure, path)
    assert path.read_bytes() == before
