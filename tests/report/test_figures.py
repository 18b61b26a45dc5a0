"""Each figure shows what its table says, and says what is missing where there is nothing to draw."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.report.figures import FIGURES, make_plot, save_plot


@pytest.mark.parametrize('name', FIGURES)
def test_each_figure_has_units_a_table_and_its_query(toy, name):
    plot = make_plot(name, 'toy')
    axes = [each for each in plot.figure.axes if each.get_visible()]
    labels = [each.get_xlabel() + each.get_ylabel() for each in axes]
    labels += [str(text.get_text()) for text in (plot.figure._supxlabel, plot.figure._supylabel) if text is not None]
    assert any(unit in ' '.join(labels) for unit in ('(eV/atom)', '(core hours)', '(1)', '(number', 'fraction of'))
    assert plot.table.rows and plot.query.startswith('aiida_qagenai.queries.figures.')
    assert len(plot.table.headings) == len(plot.table.rows[0])


@pytest.mark.parametrize('name', FIGURES)
def test_a_young_campaign_has_nothing_to_draw(toy, name, tmp_path):
    plot = make_plot(name, 'young')
    assert plot.figure is None and 'yet' in plot.reason
    with pytest.raises(InvalidInputError, match=r'nothing to draw in .*yet'):
        save_plot(plot, tmp_path / 'x.png')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('ending', 'begin'), [('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF'), ('.html', b'<!DOCTYPE html>')]
)
def test_formats(toy, tmp_path, ending, begin):
    path = save_plot(make_plot('divergence', 'toy'), tmp_path / f'x{ending}')
    assert path.read_bytes().startswith(begin) and list(tmp_path.iterdir()) == [path]


def test_a_table_has_every_row(toy, tmp_path):
    table = pd.read_csv(save_plot(make_plot('parity', 'toy'), tmp_path / 'x.csv'))
    assert len(table) == 16 and table['error'].abs().is_monotonic_decreasing
    with pytest.raises(InvalidInputError, match=r'ends in .*\.csv'):
        save_plot(make_plot('parity', 'toy'), tmp_path / 'x.gif')


def test_discoveries_lie_near_the_computed_hull(toy):
    """LiH at −0.5 eV/atom is on the hull, at −0.49 it is 0.01 above: both are discoveries, in both cycles."""
    frame = make_plot('discovery', 'toy').frame
    assert frame['call'].tolist() == [1, 2, 3, 4] and frame['discovered'].tolist() == [1, 2, 3, 4]
    assert sorted(frame['e_above_hull'].round(6)) == [0.0, 0.0, 0.01, 0.01]


def test_the_hull_is_that_of_the_last_cycle(toy):
    frame = make_plot('hull', 'toy').frame
    assert frame['name'].tolist() == [f'002-0000{index}' for index in range(4)]
    assert frame['e_above_hull'].tolist() == pytest.approx([0.0, 0.05, 0.1, 0.15])


@pytest.mark.parametrize('elements', [['Li'], ['Li', 'O'], ['Li', 'H', 'O', 'N']])
def test_a_hull_of_other_elements_is_refused(toy, elements):
    with pytest.raises(InvalidInputError, match='two to four elements of H-Li'):
        make_plot('hull', 'toy', elements=elements)


def test_unknown_names_are_refused(toy):
    with pytest.raises(InvalidInputError, match='unknown figure `fun`'):
        make_plot('fun', 'toy')
    with pytest.raises(InvalidInputError, match='no campaign `none`'):
        make_plot('cost', 'none')


def test_energies_that_are_not_scientific_say_so(toy):
    """The campaign is at the level `pipeline`: figures of energies carry the warning, those of costs do not need it."""
    headings = {name: make_plot(name, 'toy').figure.get_suptitle() for name in ('divergence', 'cost')}
    assert headings['divergence'].startswith('not scientific') and headings['cost'] == ''
