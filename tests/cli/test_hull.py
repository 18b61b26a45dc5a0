"""Distances to the hull from files, which need no profile."""

import json

import pytest
from click.testing import CliRunner

from aiida_qagenai.cli.hull import hull
from aiida_qagenai.common.errors import InvalidInputError

PHASES = 'formula,formation_energy_per_atom\nLi2O,-2.0\nLi2O2,-1.6\n'
CANDIDATES = 'formula,formation_energy_per_atom\nLiO2,-1.5\nLi2O2,-1.55\nLiF,-3.0\n'


@pytest.fixture
def run():
    def _run(command, *arguments):
        return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)

    return _run


@pytest.fixture
def files(tmp_path):
    phases, candidates = tmp_path / 'phases.csv', tmp_path / 'candidates.csv'
    phases.write_text(PHASES)
    candidates.write_text(CANDIDATES)
    return '--phases', phases, '--candidates', candidates


def test_hull_as_json(run, files):
    records = json.loads(run(hull, *files, '--json').stdout)
    assert [record['formula'] for record in records] == ['LiO2', 'Li2O2', 'LiF']
    first, second, third = records
    assert first['e_above_hull'] == 0.0
    assert first['decomposition_energy'] == pytest.approx(-1.5 + 1.6 * 2 / 3)
    assert first['decomposition'] == pytest.approx({'Li2O2': 2 / 3, 'O2': 1 / 3})
    assert (second['e_above_hull'], second['stability']) == (pytest.approx(0.05), 'metastable')
    assert second['complete']
    assert (third['complete'], third['missing']) == (False, ['F-Li'])


def test_hull_as_table_and_pictures(run, files, tmp_path):
    files[3].write_text(CANDIDATES.replace('LiF,-3.0\n', ''))
    pictures = ['--plot', tmp_path / 'hull.png', '--plot-distances', tmp_path / 'distances.svg']
    result = run(hull, *files, *pictures)
    assert 'metastable' in result.stdout
    assert (tmp_path / 'hull.png').exists()
    assert (tmp_path / 'distances.svg').exists()


def test_total_energies_need_the_elements(run, files):
    files[1].write_text(PHASES.replace('formation_energy', 'energy'))
    with pytest.raises(InvalidInputError, match='both'):
        run(hull, *files)
    files[3].write_text(CANDIDATES.replace('formation_energy', 'energy'))
    with pytest.raises(InvalidInputError, match='F, Li, O'):
        run(hull, *files)


def test_hull_with_uncertain_energies(run, files):
    files[1].write_text('formula,formation_energy_per_atom,sigma\nLi2O,-2.0,0.02\nLi2O2,-1.6,0.02\n')
    files[3].write_text('formula,formation_energy_per_atom,sigma\nLi2O2,-1.6,0.02\nLi2O,-2.5,0.0\n')
    first, second = json.loads(run(hull, *files, '--json', '--samples', 400).stdout)
    assert first['probability_stable'] == pytest.approx(0.5, abs=0.1)
    assert second['probability_stable'] == 1.0
    assert 'P(stable)' in run(hull, *files, '--samples', 10).stdout
    assert run(hull, *files, '--samples', 10, '--candidates-compete').exit_code == 2


def test_one_system_of_many_is_drawn(run, files, tmp_path):
    files[1].write_text(PHASES + 'Fe2O3,-1.7\nLiFeO2,-1.9\nMnP,-0.5\n')
    picture = tmp_path / 'hull.svg'
    with pytest.raises(InvalidInputError, match='two to four'):
        run(hull, *files, '--plot', picture, '--system', 'Li-Fe-O-Mn-P')
    run(hull, *files, '--plot', picture, '--system', 'Li-Fe-O')
    assert '<svg' in picture.read_text()
    run(hull, *files, '--plot', picture)  # the candidates' own: Li, O and F
    run(hull, *files, '--plot-distances', tmp_path / 'distances.html')
    assert b'plotly' in (tmp_path / 'distances.html').read_bytes()
