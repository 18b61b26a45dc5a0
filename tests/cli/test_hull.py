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


def test_the_hull_of_the_package_is_the_default(run, files, tmp_path):
    """LiH is a stable phase of the Materials Project; Mg–Al–O has few of them, Na–Mg none."""
    files[3].write_text('formula,formation_energy_per_atom\nLiH,-0.3\nLiMnO2,-2.2\nMgAl2O4,-3.0\nNaMg,-0.1\n')
    result = run(hull, *files[2:], '--json')
    first, second, spinel, alloy = json.loads(result.stdout)
    assert first['decomposition'] == {'LiH': 1.0} and first['e_above_hull'] == pytest.approx(0.19, abs=0.02)
    assert second['decomposition'] == {'LiMnO2': 1.0} and second['num_references'] == 15
    assert spinel['e_above_hull'] is None and spinel['reason'] == 'no hull: 8 references in Al-Mg-O, fewer than 12'
    assert alloy['reason'] == 'no hull: nothing is known in Mg-Na'
    assert '33758 stable phases' in result.stderr and 'MP2020' in result.stderr and 'not stated' in result.stderr
    table = run(hull, *files[2:]).stdout
    assert 'fewer than 12' in table and 'hull of the package' in table
    everything = json.loads(run(hull, *files[2:], '--json', '--min-references', 0).stdout)
    assert all(record['e_above_hull'] is not None for record in everything)
    run(hull, *files[2:], '--plot', tmp_path / 'hull.svg', '--system', 'Li-Mn-O')
    assert '<svg' in (tmp_path / 'hull.svg').read_text()


def test_energies_on_another_scale_never_meet_the_hull_of_the_package(run, files):
    files[3].write_text('formula,formation_energy_per_atom,level\nLiH,-0.4,MP2020\n')
    assert 'not stated' not in run(hull, *files[2:]).stdout
    files[3].write_text('formula,formation_energy_per_atom,level\nLiH,-0.4,HSE06\n')
    with pytest.raises(InvalidInputError, match=r"'HSE06'.*'MP2020'"):
        run(hull, *files[2:])
    files[3].write_text('formula,energy_per_atom\nLiH,-3.0\n')
    with pytest.raises(InvalidInputError, match='total energies'):
        run(hull, *files[2:])


def test_draws_are_for_distances_only(run, files):
    files[3].write_text('formula,formation_energy_per_atom,sigma\nMgAl2O4,-3.0,0.1\nLiH,-0.3,0.1\n')
    spinel, hydride = json.loads(run(hull, *files[2:], '--json', '--samples', 20).stdout)
    assert spinel['probability_stable'] is None and hydride['probability_stable'] < 0.5
