"""Tests for the commands `hull` and `screen`, which need no profile."""

import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from aiida_qagenai.cli.hull import hull
from aiida_qagenai.cli.screen import screen
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


def test_screen_reports_every_structure(run, tmp_path):
    good = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    dense = good.copy()
    dense.scale_lattice(good.volume / 3)
    partial = good.copy()
    partial.replace(0, {'Li': 0.5})
    path = tmp_path / 'three.json'
    path.write_text(json.dumps([s.as_dict() for s in (good, dense, partial)]))
    records = json.loads(run(screen, path, '--json').stdout)
    assert [record['passed'] for record in records] == [True, False, False]
    assert 'minimum_distance' in records[1]['failed']
    assert 'partial occupancies' in records[2]['first_reason']
    table = run(screen, path, '--plot-funnel', tmp_path / 'funnel.png').stdout
    assert '1 of 3 pass' in table
    assert (tmp_path / 'funnel.png').exists()
