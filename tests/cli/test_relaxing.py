"""`aiida-qagenai generate … --relax`: proposals relaxed with CHGNet and ranked by their distance to the hull."""

import importlib.util
import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure
from untrained import write_untrained_validator

from aiida_qagenai.cli import relaxing
from aiida_qagenai.cli.generate import generate
from aiida_qagenai.cli.hull import hull
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.vibrations.settings import PACKAGES

needs_chgnet = pytest.mark.skipif(importlib.util.find_spec('chgnet') is None, reason='chgnet is not installed')


def salt(edge, names=('Mg', 'O')):
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), names, [[0, 0, 0], [0.5, 0.5, 0.5]])


def run(*arguments):
    return CliRunner().invoke(generate, [str(argument) for argument in arguments], catch_exceptions=False)


def relax(records, output=None, steps=60, fewest=12):
    return relaxing.relax_and_rank(records, relax='chgnet', relax_steps=steps, min_references=fewest, output=output)


@pytest.mark.slow
@needs_chgnet
def test_proposals_are_ranked_by_their_distance_to_the_hull(tmp_path):
    """Rock salt is the ground state of MgO, here and by CHGNet, though the ranking puts another motif first."""
    arguments = ('MgO', '--count', 3, '--max-atoms', 2, '--no-refine', '--relax', 'chgnet', '--output', tmp_path)
    result = run(*arguments, '--format', 'json')
    records = json.loads(result.stdout)
    assert [record['rank'] for record in records] == [*range(1, len(records) + 1)]
    distances = [record['e_above_hull'] for record in records]
    assert distances == sorted(distances) and distances[0] < 0.05
    first = records[0]
    assert first['space_group'] == 225 and first['converged'] and first['no_e_above_hull'] == ''
    assert first['formation_energy_per_atom'] == pytest.approx(-3.04, abs=0.05) and first['level'] == 'MP2020'
    placed = CliRunner().invoke(hull, ['--candidates', str(tmp_path / 'structures.json')], catch_exceptions=False)
    assert 'not stated' not in placed.stdout and placed.stdout.count('MgO') >= 2
    assert json.loads((tmp_path / 'relaxation' / 'results.json').read_text())['potential'].startswith('chgnet:0.3.0')
    # the same command takes what is there
    again = run(*arguments)
    assert 'hull of the package' in again.stdout and 'E above hull' in again.stdout
    journal = (tmp_path / 'relaxation' / 'relaxed.jsonl').read_text().split('\n')
    assert sum(bool(line) for line in journal) == 3


@pytest.mark.slow
@needs_chgnet
def test_crystals_that_become_the_same_are_one_and_failures_are_said(tmp_path):
    """Two cells of MgO meet, atoms far apart have no energy, and nothing is known in Na–Mg."""
    records = [
        {'rank': rank, 'structure': structure}
        for rank, structure in enumerate(
            [salt(9.9, ('Xe', 'Ne')), salt(4.35), salt(5.0, ('Na', 'Mg')), salt(4.1)], start=1
        )
    ]
    kept, note = relax(records)
    assert len(kept) == 3 and kept[0]['structure'].composition.reduced_formula == 'MgO'
    assert [record['rank'] for record in kept] == [1, 2, 3]
    assert kept[0]['e_above_hull'] is not None and kept[0]['volume_per_atom'] == pytest.approx(9.6, abs=0.3)
    assert [record['e_above_hull'] for record in kept[1:]] == [None, None]
    assert '1 relaxed into the same crystal' in note and 'no hull: nothing is known in Mg-Na' in note
    assert '3 of them in these systems' not in note


@needs_chgnet
def test_what_did_not_converge_has_no_distance():
    (record,), note = relax([{'rank': 1, 'structure': salt(5.2)}], steps=1)
    assert not record['converged'] and record['e_above_hull'] is None
    assert '1 without E_hull: not converged in 1 steps' in note


def test_without_chgnet_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(PACKAGES, 'chgnet', 'no_such_potential')
    with pytest.raises(InvalidInputError, match=r'no_such_potential.*pip install "aiida-qagenai\[ml,chgnet\]"'):
        relax([{'rank': 1, 'structure': salt(4.2)}])


def test_nothing_is_relaxed_unless_asked():
    records = [{'rank': 1, 'structure': salt(4.2)}]
    options = {'relax_steps': 1, 'min_references': 12, 'output': None}
    assert relaxing.relax_and_rank(records, relax=None, **options) == (records, '')


def test_a_potential_of_another_level_is_refused_before_anything_runs(tmp_path):
    """SevenNet is uncorrected, and the validator of a campaign has levels of its own at PBE."""
    record = [{'rank': 1, 'structure': salt(4.2)}]
    options = {'relax_steps': 1, 'min_references': 12, 'output': None}
    with pytest.raises(InvalidInputError, match=r'SevenNet-0, and the hull .* levels never meet in one hull'):
        relaxing.relax_and_rank(record, relax='sevennet', **options)
    write_untrained_validator(tmp_path / 'own', ('Mg', 'O'))
    with pytest.raises(InvalidInputError, match='of validator are of the level PBE'):
        relaxing.relax_and_rank(record, relax='validator', validator=tmp_path / 'own', **options)


def test_the_shipped_validator_places_crystals_on_the_hull():
    """Its level at PBE has the scale of the hull: rock salt MgO is near it."""
    (record,), note = relaxing.relax_and_rank(
        [{'rank': 1, 'structure': salt(4.3)}], relax='validator', relax_steps=60, min_references=12, output=None
    )
    assert 'level of theory MP2020 PBE' in note
    assert record['e_above_hull'] is not None and record['e_above_hull'] < 0.3
    assert record['formation_energy_per_atom'] == pytest.approx(-3.0, abs=0.4)
