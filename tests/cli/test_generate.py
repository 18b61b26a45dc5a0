"""Crystals of a formula or a chemical system, which need no profile."""

import json

import pytest
from ase.io import read
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure
from untrained import write_untrained_generator

from aiida_qagenai.cli.generate import generate
from aiida_qagenai.cli.root import main
from aiida_qagenai.common.errors import InvalidInputError, QagenaiError


@pytest.fixture(scope='module')
def untrained(tmp_path_factory):
    """Return the folder of a generator of four elements that has learned nothing."""
    folder = tmp_path_factory.mktemp('untrained') / 'generator'
    write_untrained_generator(folder, ('O', 'K', 'Ti', 'Sr'))
    return folder


def run(*arguments):
    """Run the command without refinement, unless the arguments ask for it."""
    if not {'--refine', '--novelty'} & set(arguments):
        arguments = (*arguments, '--no-refine')
    return CliRunner().invoke(generate, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_formula_gives_a_ranked_table_and_files(tmp_path):
    result = run('NaCl', '--count', 3, '--output', tmp_path / 'out')
    assert result.exit_code == 0 and '3 structures of NaCl' in result.stdout
    records = json.loads((tmp_path / 'out' / 'structures.json').read_text())
    assert [record['rank'] for record in records] == [1, 2, 3]
    first = records[0]
    assert (first['formula'], first['space_group'], first['novelty']) == ('NaCl', 225, 'replay')
    assert first['known_as'] and first['passed'] is True
    images = read(tmp_path / 'out' / 'structures.extxyz', index=':')
    assert [image.info['rank'] for image in images] == [1, 2, 3]
    [cif] = (tmp_path / 'out').glob('001_*.cif')
    assert Structure.from_file(cif).composition.reduced_formula == 'NaCl'


def test_known_crystals_can_be_left_out():
    records = json.loads(run('NaCl', '--count', 4, '--exclude-known', '--format', 'json').stdout)
    assert records and {record['novelty'] for record in records} == {'substitution'}
    records = json.loads(run('NaCl', '--count', 1, '--exclude', 'NaCl', '--format', 'json').stdout)
    assert records[0]['motif_formula'] != 'NaCl' and records[0]['space_group'] == 225


def test_a_chemical_system_has_all_its_elements_and_no_other():
    records = json.loads(run('Li', 'Mg', 'N', '--count', 5, '--stoichiometry', 'ABC', '--format', 'json').stdout)
    assert {Structure.from_dict(record['structure']).chemical_system for record in records} == {'Li-Mg-N'}
    assert {record['num_atoms'] % 3 for record in records} == {0}


def test_crystals_of_the_user_are_motifs(tmp_path):
    own = Structure.from_spacegroup('Pm-3m', Lattice.cubic(3.1), ['Xe', 'He'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    own.to(str(tmp_path / 'own.cif'))
    [record] = json.loads(run('RbI', '--motifs', tmp_path / 'own.cif', '--only-motifs', '--format', 'json').stdout)
    assert record['motif_formula'] == 'XeHe' or record['motif_formula'] == 'HeXe'
    assert record['space_group'] == 221


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['Xx2O'], 'Xx'),
        (['Li', 'Qq'], 'Qq'),
        (['Li', 'Li'], 'twice'),
        (['Li0.5O'], 'fractional'),
        (['Li7O99'], 'no known crystal'),
        (['Li', 'O', '--stoichiometry', 'AB2C'], 'has 3 elements, but 2 are given'),
        (['Li', 'O', '--stoichiometry', 'ab2'], 'not an anonymous formula'),
        (['NaCl', '--stoichiometry', 'AB'], 'belongs to a chemical system'),
        (['NaCl', '--min-atoms', '9', '--max-atoms', '3'], 'min_atoms 9 exceeds max_atoms 3'),
    ],
)
def test_wrong_requests_end_with_one_line(arguments, expected):
    with pytest.raises(InvalidInputError, match=expected):
        run(*arguments)


def test_own_motifs_alone_need_a_file():
    result = CliRunner().invoke(main, ['generate', 'NaCl', '--only-motifs'])
    assert result.exit_code == 2 and '--only-motifs needs' in result.output and 'Traceback' not in result.output


@pytest.mark.slow
def test_noise_changes_the_structure_and_the_seed_decides_how(untrained, tmp_path):
    arguments = ['SrTi2O5', '--count', 2, '--max-atoms', 8, '--generator', untrained]
    options = ['--novelty', 0.5, '--symmetry', 'free', '--format', 'json', '--seed']
    first, again, other = (json.loads(run(*arguments, *options, seed).stdout) for seed in (1, 1, 2))
    assert first == again and first != other
    assert {record['noise'] for record in first} == {0.5} and all(record['motif'] for record in first)
    assert {record['formula'] for record in first} == {'SrTi2O5'}
    assert {record['novelty'] for record in first} <= {'replay', 'substitution', 'novel framework'}


def test_motifs_are_refined_but_known_crystals_stay(untrained):
    arguments = ['KO2', '--count', 3, '--max-atoms', 3, '--format', 'json']
    plain = json.loads(run(*arguments).stdout)
    refined = json.loads(run(*arguments, '--refine', '--generator', untrained).stdout)
    volumes = {record['motif']: record['volume_per_atom'] for record in plain}
    changes = [(record['novelty'], record['volume_per_atom'] / volumes[record['motif']] - 1) for record in refined]
    assert len(changes) == 3 and changes[0][0] == 'replay' and abs(changes[0][1]) < 1e-6
    assert all(abs(change) > 1e-5 for relation, change in changes if relation != 'replay')
    assert [record['space_group'] for record in refined] == [record['space_group'] for record in plain]


def test_without_torch_motifs_are_not_refined(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    result = run('NaCl', '--count', 1, '--refine', '--format', 'json')
    assert json.loads(result.stdout)[0]['novelty'] == 'replay' and 'that needs torch' in result.stderr


def test_a_generator_that_does_not_know_an_element_is_refused(untrained):
    with pytest.raises(QagenaiError, match='Pu'):
        run('PuO2', '--novelty', 0.5, '--generator', untrained)


def test_ordered_crystals_satisfy_their_constraints_and_the_shares_are_printed(untrained, tmp_path):
    arguments = ['SrTiO3', '--constrain', 'volume_per_atom=12±5%', '--constrain', 'coordination(Ti,O)=6']
    limits = ['--generator', untrained, '--count', 2, '--max-atoms', 5, '--output', tmp_path / 'out']
    result = run(*arguments, *limits)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any(line.startswith('volume_per_atom=11.4..12.6: satisfied by ') for line in lines)
    assert any(line.startswith('all constraints: satisfied by ') for line in lines)
    records = json.loads((tmp_path / 'out' / 'structures.json').read_text())
    first = records[0]['constraints'][0]
    assert first['satisfied'] and 11.4 <= first['value'] <= 12.6 and len(first['trajectory']) == 100
    assert [record['satisfied'] for record in records] == sorted((r['satisfied'] for r in records), reverse=True)
    # from noise and without symmetry, because a known crystal has the coordination that it has
    assert records[0]['noise'] == 1


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--constrain', 'coordination(Si,O)=6'], 'needs Si, but SrTiO3 has only O, Sr, Ti'),
        (['--constrain', 'coordination(Ti,O)=six'], '`six` is not a value'),
        (['--constrain', 'volume_per_atom=6'], 'give a tolerance'),
    ],
)
def test_constraints_that_mean_nothing_are_refused_at_once(arguments, expected):
    with pytest.raises(InvalidInputError, match=expected):
        run('SrTiO3', *arguments)


def test_all_crystals_have_the_atoms_of_a_mask(untrained, tmp_path):
    limits = ['--generator', untrained, '--count', 2, '--max-atoms', 8, '--output', tmp_path / 'out']
    result = run('SrTi3O4', '--mask', 'kagome(Ti)=3', *limits)
    assert result.exit_code == 0 and 'each with the held 3 Ti' in result.stdout
    records = json.loads((tmp_path / 'out' / 'structures.json').read_text())
    assert records and all(record['noise'] == 1 and record['novelty'] for record in records)
    for record in records:
        crystal = Structure.from_dict(record['structure'])
        assert crystal.lattice.a == pytest.approx(6, abs=1e-3) and crystal.lattice.gamma == pytest.approx(120, abs=1e-3)
        near = [each for each in crystal.get_neighbors(crystal[0], 3.01) if each.specie.symbol == 'Ti']
        assert sum(abs(each.nn_distance - 3) < 1e-3 for each in near) >= 4


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--mask', 'kagom(Ti)'], 'did you mean `kagome`'),
        (['--mask', 'no.cif'], 'it is neither a file nor a mask'),
        (['--mask', 'kagome(Si)'], 'the mask holds Si, which SrTiO3 does not have'),
        (['--mask', 'kagome(Ti)', '--max-atoms', 10], 'no cell of SrTiO3 with 1 to 10 atoms has room'),
        (['--mask', 'kagome(Ti)', '--space-group', 191], 'leave out space_group'),
    ],
)
def test_masks_that_mean_nothing_are_refused_at_once(arguments, expected):
    with pytest.raises(InvalidInputError, match=expected):
        run('SrTiO3', *arguments)


def test_options_of_constraints_need_one():
    result = run('SrTiO3', '--best-of', 3)
    assert result.exit_code == 2 and 'need --constrain' in result.output


def test_a_target_says_what_it_changed():
    result = CliRunner().invoke(generate, ['GaN', '--no-refine', '--count', '2', '--target', 'band_gap=1.5'])
    assert result.exit_code == 0, result.output
    assert 'gap eV' in result.stdout and 'band gap of 1.2 to 1.8 eV, as predicted at PBE:' in result.stdout
    assert 'of 2 those kept' in result.stdout


def test_descriptors_that_are_asked_for_are_shown():
    targets = ['--target', 'metallic', '--target', 'elf_high=0.05']
    result = CliRunner().invoke(generate, ['Al', '--no-refine', '--count', '2', *targets])
    assert result.exit_code == 0, result.output
    assert 'σ(elf_high)' in result.stdout and 'metallic and elf high of 0 to 0.1, as predicted' in result.stdout
