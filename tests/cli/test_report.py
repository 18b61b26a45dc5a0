"""`aiida-qagenai report` and `aiida-qagenai plot` from the command line."""

from __future__ import annotations

import pytest

from aiida_qagenai.report.figures import FIGURES


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Make an empty folder the current one and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_page_and_its_figures(toy, run, tmp_path):
    path = tmp_path / 'toy.html'
    output = run('report', 'toy', '--output', path, '--figures', 'svg').output
    assert f'written: {path}' in output
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {'toy.html', *(f'toy-{name}.svg' for name in FIGURES)}


def test_the_page_is_named_by_the_campaign(toy, run, empty_folder):
    run('report', toy.campaign.uuid)
    assert [file.name for file in empty_folder.iterdir()] == ['campaign-toy.html']


def test_watching_ends_with_the_campaign(toy, run, tmp_path):
    path = tmp_path / 'toy.html'
    assert run('report', 'toy', '--output', path, '--watch').output.count('written') == 1
    assert 'data-seconds' not in path.read_text()


@pytest.mark.parametrize('name', FIGURES)
def test_each_figure_has_a_command(toy, run, tmp_path, name):
    path = tmp_path / f'{name}.svg'
    assert f'written: {path}' in run('plot', name, toy.campaign.pk, '--output', path).output
    assert path.stat().st_size > 2000


def test_the_system_of_a_hull(toy, run, tmp_path):
    run('plot', 'hull', 'toy', '--system', 'H-Li', '--output', tmp_path / 'a.png')
    assert (
        'two to four elements of H-Li'
        in run('plot', 'hull', 'toy', '--system', 'Li-O', '--output', tmp_path / 'b.png', status=1).output
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['report', 'none'], 'no campaign `none`'),
        (['report', 'toy', '--output', 'x.png'], 'choose a name that ends in .html'),
        (['report', 'toy', '--output', 'nowhere/x.html'], 'there is no folder `nowhere`'),
        (['plot', 'cost', 'toy', '--output', 'x.gif'], 'choose a name that ends in'),
    ],
)
def test_bad_input(toy, run, empty_folder, arguments, message):
    assert message in run(*arguments, status=1).output
    assert not list(empty_folder.iterdir())
