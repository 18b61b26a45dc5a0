"""What a drawn hull shows: the lower envelope, the candidates near it, and how many it leaves out."""

from __future__ import annotations

import pytest

from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.plots import draw_hull

ELEMENTS = [Phase('Li', 0.0), Phase('O', 0.0)]
OXIDES = [Phase('Li2O', -2.0), Phase('Li2O', -1.9), Phase('Li2O2', -1.6), Phase('LiO2', -0.5)]


def names(axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def test_the_hull_of_a_binary_system_is_the_lower_envelope():
    figure = draw_hull([*ELEMENTS, *OXIDES], [Phase('Li3O', -1.5)], ['Li', 'O'])
    line = figure.axes[0].lines[0]
    assert line.get_xdata() == pytest.approx([0, 1 / 3, 1 / 2, 1])
    assert line.get_ydata() == pytest.approx([0, -2.0, -1.6, 0])
    assert figure.axes[0].get_ylabel() == 'formation energy (eV/atom)'
    assert {'Li2O', 'Li2O2', 'Li3O'} <= names(figure.axes[0]) and 'LiO2' not in names(figure.axes[0])


def test_candidates_far_above_are_counted():
    candidates = [Phase('LiO', -1.5), Phase('LiO', 5.0), Phase('Li3O', -1.5)]
    figure = draw_hull([*ELEMENTS, *OXIDES], candidates, ['Li', 'O'], computed=[Phase('LiO', -1.55)])
    assert figure.axes[0].get_title() == '1 of 4 more than 0.2 eV/atom above the hull: not shown'
    predicted, computed = figure.axes[0].collections
    assert len(predicted.get_offsets()) == 2 and len(computed.get_offsets()) == 1


def test_a_new_stable_phase_lies_below_the_known_hull():
    figure = draw_hull([*ELEMENTS, *OXIDES], [Phase('LiO2', -1.5)], ['Li', 'O'], distances=[0.0])
    (x, y), *_ = figure.axes[0].collections[0].get_offsets()
    assert (x, y) == pytest.approx((2 / 3, -1.5)) and figure.axes[0].get_title() == ''


def test_a_ternary_hull_has_the_edges_of_its_facets():
    """Four phases, one of them inside the triangle: three edges around it and three to it."""
    known = [Phase('Li', 0.0), Phase('O', 0.0), Phase('Co', 0.0), Phase('LiCoO2', -1.7), Phase('LiCoO2', -1.0)]
    figure = draw_hull(known, [Phase('LiCoO3', -1.2)], ['Co', 'Li', 'O'])
    edges = [line for line in figure.axes[0].lines if line.get_marker() == 'None']
    assert len(edges) == 6 and 'LiCoO2' in names(figure.axes[0])
    inside = next(tuple(line.get_xydata()[0]) for line in edges if line.get_xydata()[0][1] not in (0.0,))
    assert all(0 <= value <= 1 for value in inside)


def test_four_elements_are_a_tetrahedron():
    """The phases on the hull and the candidates lie within; what is above the hull has no name."""
    known = [Phase(symbol, 0.0) for symbol in ('Fe', 'Li', 'O', 'P')]
    known += [Phase('LiFePO4', -2.5), Phase('Fe2O3', -1.7), Phase('Li3P', 0.4)]
    figure = draw_hull(known, [Phase('Li2FeP', -0.2)], ['Fe', 'Li', 'O', 'P'], distances=[0.05])
    (axes,) = figure.axes
    assert {'Fe', 'Li', 'O2', 'P', 'LiFePO4', 'Fe2O3', 'Li2FeP'} <= names(axes) and 'Li3P' not in names(axes)
    edges = [line for line in axes.lines if line.get_marker() == 'None']
    assert len(edges) == 6
    x, y = axes.collections[0].get_offsets()[0]
    assert 0 < x < 1 and -0.12 < y < 0.9
