"""The contest of ways to a level of theory, from a file or a node."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from toy_crystals import toy_dataset

from aiida_qagenai.cli.root import main
from aiida_qagenai.data.dataset import DatasetData

SETTINGS = [
    '--compositions', '--folds', '2', '--repeats', '2', '--number', '3', '--arm', 'linear', '--arm', 'lower',
]  # fmt: skip


def run(*arguments):
    """Run the command."""
    return CliRunner().invoke(main, ['model', 'contest', *map(str, arguments)])


@pytest.fixture(scope='module')
def packed(tmp_path_factory):
    """Return a packed data set with energies on four levels."""
    path = tmp_path_factory.mktemp('contest') / 'dataset.npz'
    toy_dataset(high=20).save(path)
    return path


def test_the_table_says_what_is_taken(packed, tmp_path):
    result = run(packed, *SETTINGS, '--picture', tmp_path / 'contest.svg')
    assert result.exit_code == 0, result.output
    assert 'energies on `CCSD(T)`, with those on `PBE`, `SCAN`, `HSE06` below it' in result.output
    assert 'with 3: take `' in result.output and 'behind the best' in result.output
    assert (tmp_path / 'contest.svg').stat().st_size > 1000


def test_programs_get_every_column_of_a_chosen_level(packed):
    result = run(packed, *SETTINGS, '--level', 'SCAN', '--given', '--format', 'json')
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    assert {record['arm'] for record in records} == {'linear', 'lower'}
    assert sum(record['taken'] == 'taken' for record in records) == len({record['number'] for record in records}) == 2
    assert all(record['error'] > 0 and record['seconds'] >= 0 for record in records)
    # the levels differ by offsets of the elements and a small part that pairs of Li and H have
    last = {record['arm']: record['error'] for record in records if record['number'] == 0}
    assert last['linear'] < last['lower']


def test_a_node_of_the_profile_takes_part(aiida_profile_clean, packed):
    labels = toy_dataset(high=20)
    tags = {level.rung.value: level.tag for level in labels.levels}
    node = DatasetData(labels, level_tags=tags, formation_scheme='elements').store()
    result = run(node.pk, *SETTINGS)
    assert result.exit_code == 0, result.output
    empty = DatasetData(labels.structures).store()
    result = run(empty.pk, *SETTINGS)
    assert result.exit_code == 1 and f'the data set {empty.pk} has no energies' in result.output


def test_an_unknown_level_is_named(packed):
    result = run(packed, *SETTINGS, '--level', 'r2SCAN')
    assert result.exit_code == 1
    assert 'there are no labels on `r2SCAN`: choose one of PBE, SCAN, HSE06, CCSD(T)' in ' '.join(result.output.split())
