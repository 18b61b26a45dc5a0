"""Tests for the commands `hull` and `screen`, which need no profile."""

import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from aiida_qagenai.cli.hull.hull import hull
from aiida_qagenai.cli.screen.screen import screen
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
    assert [record['index'] for record in records] == [0, 1, 2]
    table = run(screen, path, '--plot-funnel', tmp_path / 'funnel.png').stdout
    assert '1 of 3 pass' in table
    assert (tmp_path / 'funnel.png').exists()


ROCK_SALT = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_user_may_ask_for_more_or_other_constraints(run, tmp_path):
    path = tmp_path / 'LiH.cif'
    ROCK_SALT.to(filename=str(path))
    options = ['--density', 2, 5, '--dimensionality', 2, '--alpha', 1.2, '--min-space-group', 226, '--volume', 10, 20]
    [record] = json.loads(run(screen, path, '--json', *options).stdout)
    assert record['failed'].split(', ') == [
        *('volume_per_atom', 'minimum_distance', 'symmetry', 'density', 'dimensionality'),
    ]
    assert record['minimum_distance_threshold'] == 1.2
    with pytest.raises(InvalidInputError, match='window'):
        run(screen, path, '--density', 2, 1)


def test_screen_marks_what_is_no_news(run, tmp_path):
    known, path = tmp_path / 'known.json', tmp_path / 'found.json'
    other = ROCK_SALT.copy()
    other.replace_species({'Li': 'Na'})
    known.write_text(json.dumps([other.as_dict()]))
    path.write_text(json.dumps([s.as_dict() for s in (ROCK_SALT, other, ROCK_SALT.get_primitive_structure())]))
    records = json.loads(run(screen, path, '--json', '--unique', '--known', known).stdout)
    assert [record['cluster'] for record in records] == [0, 1, 0]
    assert [record['duplicate_of'] for record in records] == [None, None, 'found#0']
    assert [record['known_as'] for record in records] == [None, 'known#0', None]
    table = run(screen, path, '--unique', '--known', known, '--plot-funnel', tmp_path / 'funnel.html').stdout
    assert 'distinct' in table
    assert 'new' in table
    assert b'plotly' in (tmp_path / 'funnel.html').read_bytes()


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
