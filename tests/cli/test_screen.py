"""Physical constraints on structures in files, which need no profile."""

import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from aiida_qagenai.cli.screen import screen
from aiida_qagenai.common.errors import InvalidInputError


@pytest.fixture
def run():
    def _run(command, *arguments):
        return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)

    return _run


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
