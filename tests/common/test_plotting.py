"""Pictures are checked before they are drawn, and replaced as a whole."""

from __future__ import annotations

import re

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import figure_svg, label_points, new_figure, picture_path, save_figure, write_text


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
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_labels_stay_within_the_frame_and_apart():
    """Of forty points in a cloud, some names find room: none leaves the axes, covers another one, or a point."""
    import itertools
    import math

    figure, axes = new_figure(4, 3)
    points = [(math.sin(7 * index), math.cos(11 * index)) for index in range(40)]
    axes.scatter(*zip(*points, strict=True))
    written = label_points(figure, axes, points, [f'a long name {index}' for index in range(40)], most=20)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    frame = axes.get_window_extent(renderer)
    assert 3 < written == len(boxes) <= 20
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes for point in points)


def test_an_inline_picture_keeps_its_texts_and_its_identifiers_to_itself():
    figure, axes = new_figure(2, 2)
    axes.plot([0, 1], [0, 1])
    axes.set_xlabel('energy (eV/atom)')
    first, second = figure_svg(figure, 'one'), figure_svg(figure, 'two')
    assert first.startswith('<svg') and 'energy (eV/atom)' in first
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', first)) <= ids[0]


def test_a_text_replaces_the_earlier_one_as_a_whole(tmp_path):
    path = write_text('before', tmp_path / 'a.html')
    with pytest.raises(UnicodeEncodeError):
        write_text('\ud800', path)
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InvalidInputError, match='cannot be written'):
        write_text('text', tmp_path / 'none' / 'a.html')
