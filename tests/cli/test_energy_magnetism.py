"""Magnetic crystals from the command line: what would be computed, and what cannot be."""

from __future__ import annotations

import json

import pytest
from aiida.orm import ProcessNode, QueryBuilder, StructureData
from ase import Atoms
from ase.build import bulk
from magnetic_crystals import rock_salt_cell

from aiida_qagenai.cli.energy.arguments import energy_overrides, parse_moments
from aiida_qagenai.cli.loaders import read_structure_nodes
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.crystals import MOMENTS_EXTRA

PLAN = ('--level', 'PBE', '--protocol', 'pipeline', '--no-references', '--dry-run', '--format', 'json')


@pytest.fixture
def oxide(tmp_path):
    """Return a file with MnO in its conventional cell."""
    file = tmp_path / 'mno.cif'
    bulk('MnO', 'rocksalt', a=4.44, cubic=True).write(file)
    return file


@pytest.fixture
def nodes(aiida_profile_clean):
    """Return nickel and manganese oxide by label."""
    return {name: StructureData(pymatgen=rock_salt_cell(name)) for name in ('Mn', 'Ni')}


def test_a_dry_run_shows_the_orderings(run, pyscf_code, oxide):
    """One calculation for each; the note names them and where the moments come from."""
    (row,) = json.loads(run('energy', 'run', oxide, *PLAN).output)
    assert (row['atoms'], row['calculations'], row['refused']) == (2, 4, '')
    names = 'ferromagnetic, antiferromagnetic_1, antiferromagnetic_2, antiferromagnetic_3'
    assert f'MnO: {names} (Mn2+ in high spin' in row['notes']
    (two,) = json.loads(run('energy', 'run', oxide, *PLAN, '--orderings', '2', '--moments', 'Mn=4.5').output)
    assert two['calculations'] == 2
    assert 'ferromagnetic, antiferromagnetic_1 (given' in two['notes']
    (none,) = json.loads(run('energy', 'run', oxide, *PLAN, '--magnetism', 'none').output)
    assert (none['calculations'], none['notes']) == (1, '')
    assert none['level_tag'] != row['level_tag']
    assert QueryBuilder().append(ProcessNode).count() == 0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--moments', '5,0,0'], '3 moments for the 2 atoms'),
        (['--moments', 'Fe=4'], '--moments: no structure contains Fe'),
        (['--moments', 'Mn'], 'write Mn=5,Ni=2 or one number per atom'),
        (['--moments', 'Mn=5', '--magnetism', 'none'], '`magnetism: none` is computed without them'),
        (['--set', 'orderings.max_atom=4'], 'did you mean `max_atoms`?'),
    ],
)
def test_wrong_moments_are_one_line(run, pyscf_code, oxide, arguments, text):
    """Nothing is started."""
    result = run('energy', 'run', oxide, *PLAN, *arguments, status=1)
    assert text in ' '.join(result.output.split())
    assert 'Traceback' not in result.output


def test_moments_by_element_and_by_atom(nodes):
    """Each structure gets the elements that it contains; a list is for one structure."""
    assert parse_moments('Mn=5,Ni=2', nodes) == {'Mn': {'Mn': 5.0}, 'Ni': {'Ni': 2.0}}
    assert parse_moments('Ni=-2', nodes) == {'Ni': {'Ni': -2.0}}
    assert parse_moments('5,-0.5', {'Mn': nodes['Mn']}) == {'Mn': [5.0, -0.5]}
    assert parse_moments('', nodes) == {}
    with pytest.raises(InvalidInputError, match='is for a single structure'):
        parse_moments('5,0', nodes)


def test_options_are_settings():
    """`--magnetism` and `--orderings` are short for `--set`."""
    given = energy_overrides(('orderings.max_atoms=6',), (), magnetism='auto', orderings=3, counterpoise=False)
    assert given == {
        'magnetism': 'auto',
        'orderings': {'max_atoms': 6, 'max_orderings': 3},
        'counterpoise': None,
    }


def test_moments_of_a_file_are_the_start(aiida_profile_clean, tmp_path):
    """Antiferromagnetic chromium keeps its cell of two atoms and its moments; without moments the cell is reduced."""
    cell = Atoms('Cr2', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.88] * 3, pbc=True)
    plain, magnetic = tmp_path / 'plain.extxyz', tmp_path / 'magnetic.extxyz'
    cell.write(plain)
    cell.set_initial_magnetic_moments([1.0, -1.0])
    cell.write(magnetic)
    (reduced,) = read_structure_nodes(plain, primitive=True)
    (kept,) = read_structure_nodes(magnetic, primitive=True)
    assert len(reduced.sites) == 1
    assert kept.base.extras.get(MOMENTS_EXTRA) == [1.0, -1.0]
    assert parse_moments('', {'a': reduced, 'b': kept}) == {'b': [1.0, -1.0]}
