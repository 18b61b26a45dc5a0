"""Tests for :mod:`aiida_qagenai.exchange.readers.phase_files` and :mod:`aiida_qagenai.thermodynamics.hull.plots`."""

import json

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.readers.phase_files import read_phases
from aiida_qagenai.thermodynamics.hull.convex_hull import Phase
from aiida_qagenai.thermodynamics.hull.plots import plot_distances, plot_funnel, plot_hull


@pytest.fixture
def write(tmp_path):
    def _write(text, name='phases.csv'):
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def test_csv_with_formation_energies(write):
    table = read_phases(write('formula,formation_energy_per_atom,identifier,other\nLi2O,-2.0,a,x\n LiH ,-0.45,,y\n'))
    assert table.formation
    assert [(p.formula, p.energy_per_atom, p.identifier) for p in table.phases] == [
        ('Li2O', -2.0, 'a'),
        ('LiH', -0.45, None),
    ]


def test_json_with_total_energies(write):
    rows = [{'formula': 'Li', 'energy_per_atom': -1.9, 'level': 'PBE', 'sigma': 0.01}]
    table = read_phases(write(json.dumps(rows), 'phases.json'))
    assert not table.formation
    assert (table.phases[0].level, table.phases[0].sigma) == ('PBE', 0.01)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'empty'),
        ('formula,formation_energy_per_atom\n', 'no phases'),
        ('name,formation_energy_per_atom\nLi2O,-2\n', 'no column `formula`'),
        ('formula,formation_energy_kJ_per_mol\nLi2O,-200\n', 'formation_energy_kJ_per_mol.* is not one of them'),
        ('formula,formation_energy_per_atom\nLi2O,-2.0\nXy3,-1\n', 'line 3: .*Xy3'),
        ('formula,formation_energy_per_atom\nLi2O,nan\n', 'line 2: .*finite'),
        ('formula,formation_energy_per_atom\nLi2O,abc\n', "line 2: .*'abc', not a number"),
        ('formula,formation_energy_per_atom\nLi2O,-2000\n', 'line 2: .*convert the column to eV/atom'),
        ('formula,formation_energy_per_atom\nLi2O,-2,3\n', 'line 2: expected 2 columns'),
        ('formula,formation_energy_per_atom\n,-2\n', 'line 2: `formula`'),
    ],
)
def test_bad_csv_names_the_line(write, text, message):
    with pytest.raises(InvalidInputError, match=message):
        read_phases(write(text))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not JSON'),
        ('{"formula": "Li"}', 'list of objects'),
        ('[{"formula": "Li", "energy_per_atom": 0}, {"formula": "Q", "energy_per_atom": 0}]', 'index 1'),
        ('[{"formula": "Li", "energy_per_atom": null}]', 'index 0: .*None'),
    ],
)
def test_bad_json_names_the_index(write, text, message):
    with pytest.raises(InvalidInputError, match=message):
        read_phases(write(text, 'phases.json'))


PHASES = [Phase('Li2O', -2.0), Phase('Li2O2', -1.6), Phase('CoO', -1.2), Phase('LiCoO2', -1.7), Phase('Co3O4', -1.3)]
BINARY = PHASES[:2]


@pytest.mark.parametrize('name', ['hull.png', 'hull.svg', 'hull.html'])
@pytest.mark.parametrize(
    'phases', [BINARY, PHASES, [*PHASES, Phase('Li3P', -0.9)]], ids=['binary', 'ternary', 'quaternary']
)
def test_hulls_are_drawn(tmp_path, phases, name):
    path = plot_hull(phases, tmp_path / name, candidates=[Phase('LiO', -1.3)], elements_at_zero=True)
    content = path.read_bytes()
    assert len(content) > 2000
    assert {'.png': b'\x89PNG', '.svg': b'<svg', '.html': b'plotly'}[path.suffix] in content


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match='corner'):
        plot_hull(BINARY, tmp_path / 'hull.png')
    with pytest.raises(InvalidInputError, match='two to four'):
        plot_hull([Phase('Li', 0.0)], tmp_path / 'hull.png')
    with pytest.raises(InvalidInputError, match=r'\.svg'):
        plot_hull(BINARY, tmp_path / 'hull.doc', elements_at_zero=True)
    with pytest.raises(InvalidInputError, match='nothing to draw'):
        plot_distances([], tmp_path / 'x.png')
    with pytest.raises(InvalidInputError, match='never rise'):
        plot_funnel({'a': 1, 'b': 2}, tmp_path / 'x.png')


def test_distribution_and_funnel_are_drawn(tmp_path):
    svg = plot_funnel({'generated': 1000, 'valid': 964, 'stable': 0}, tmp_path / 'funnel.svg')
    assert svg.stat().st_size > 2000
    assert plot_distances([0.0, 0.02, 0.4], tmp_path / 'distances.png').read_bytes().startswith(b'\x89PNG')
