"""Energies of crystals in files by a trained validator."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure
from untrained import write_untrained_validator

from aiida_qagenai.cli.predict import predict
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER


@pytest.fixture(scope='module')
def validator(tmp_path_factory):
    """Return the folder of a validator of two elements that has learned nothing."""
    folder = tmp_path_factory.mktemp('untrained') / 'validator'
    write_untrained_validator(folder, ('Na', 'Cl'))
    return folder


@pytest.fixture
def files(tmp_path):
    """Return a CIF file with rock salt, and one with another halide."""
    found = []
    for symbol in ('Na', 'K'):
        crystal = Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.6), [symbol, 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]])
        found.append(tmp_path / f'{symbol}Cl.cif')
        crystal.to(str(found[-1]))
    return found


def run(*arguments):
    """Run the command."""
    return CliRunner().invoke(predict, [str(argument) for argument in arguments], catch_exceptions=False)


def only_pbe(validator, folder):
    """Return a copy of the checkpoint that says that it was trained on PBE alone."""
    folder.mkdir()
    (folder / 'model.safetensors').write_bytes((validator / 'model.safetensors').read_bytes())
    config = json.loads((validator / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, 'fidelities': ['PBE']}))
    return folder


def test_every_rung_has_an_energy_and_its_uncertainty(validator, files):
    (record,) = json.loads(run(files[0], '--validator', validator, '--format', 'json').stdout)
    energies = [record[f'energy_{level.label}'] for level in LADDER]
    assert len(set(energies)) == 4 and all(
        record[f'interval_90_{level.label}'] > record[f'sigma_{level.label}'] > 0 for level in LADDER
    )
    assert record['divergence'] == pytest.approx(abs(energies[0] - energies[3]))
    assert (record['name'], record['formula'], record['num_atoms']) == ('NaCl', 'NaCl', 8)


def test_the_cell_does_not_matter(validator, files, tmp_path):
    crystal = Structure.from_file(files[0])
    crystal.get_primitive_structure().to(str(tmp_path / 'primitive.cif'))
    records = json.loads(
        run(*files[:1], tmp_path / 'primitive.cif', '--validator', validator, '--format', 'json').stdout
    )
    np.testing.assert_allclose(records[0]['energy_pbe'], records[1]['energy_pbe'], atol=1e-5)


def test_a_rung_without_labels_has_no_number(validator, files, tmp_path):
    folder = only_pbe(validator, tmp_path / 'pbe')
    (record,) = json.loads(run(files[0], '--validator', folder, '--format', 'json').stdout)
    assert record['energy_pbe'] is not None and record['energy_hse06'] is None and record['sigma_ccsdt'] is None
    result = run(files[0], '--validator', folder)
    assert 'E(PBE)' in result.stdout and 'E(HSE06)' not in result.stdout


def test_an_untrained_rung_is_named_once(files):
    """The shipped validator knows two rungs: a warning says so, and nothing repeats it below the table."""
    result = run(files[0])
    assert 'not trained on HSE06, CCSD(T)' in result.stderr and 'not trained' not in result.stdout


def test_an_unseen_element_is_named(validator, files):
    result = run(*files, '--validator', validator, '--format', 'table')
    assert 'it never saw K' in result.stdout and 'of 2 are unlike all' in result.stdout


def test_partial_occupancies_are_refused_by_name(validator, tmp_path):
    crystal = Structure(Lattice.cubic(3), [{'Na': 0.5, 'Cl': 0.5}], [[0, 0, 0]])
    crystal.to(str(tmp_path / 'alloy.cif'))
    with pytest.raises(InvalidInputError, match=r'alloy.*partial occupancies'):
        run(tmp_path / 'alloy.cif', '--validator', validator)


def test_the_validator_of_the_package_is_the_default(files):
    text = run(*files, '--format', 'table').stdout
    assert 'the validator of the package' in text and 'PBE: MP2020 PBE' in text and 'E(SCAN)' in text
    records = json.loads(run(*files, '--format', 'json').stdout)
    assert [record['energy_pbe'] for record in records] == pytest.approx([-2.1, -2.2], abs=0.3)
    assert [record['unseen_elements'] for record in records] == ['', '']


def test_band_gaps_of_crystals_and_of_compositions(validator, files):
    (record,) = json.loads(run(files[0], '--validator', validator, '--format', 'json').stdout)
    assert record['gap_pbe'] == pytest.approx(5.0, abs=1.0) and record['gap_sigma_pbe'] > 0 and not record['metallic']
    table = run('--composition', 'NaCl', '--composition', 'CuZn').stdout
    assert 'gap(HSE06)' in table and 'metal ±' in table and 'in eV by the model' in table
    records = json.loads(run('--composition', 'Na2Cl2', '--format', 'json').stdout)
    assert records[0]['formula'] == 'Na2Cl2' and records[0]['gap_gllb_sc'] > records[0]['gap_pbe'] > 3


def test_quantum_descriptors_of_crystals(files):
    """The table shows those that people read, JSON has all of them beside the energies."""
    table = run(files[0], '--descriptors').stdout
    assert 'ELF ≥ 0.7' in table and '−χ0(q_min)' in table and 'E(PBE)' not in table
    (record,) = json.loads(run(files[0], '--descriptors', '--format', 'json').stdout)
    assert sum(record[f'elf_{index}'] for index in range(10)) == pytest.approx(1)
    table = run('--composition', 'NaCl', '--descriptors').stdout
    assert 'ELF ≥ 0.7' in table and 'gap(HSE06)' not in table
    assert record['chi0_q_max_sigma'] > 0 and 'energy_pbe' in record and 'descriptor_out_of_distribution' in record


def test_files_and_formulas_do_not_mix(files):
    for arguments in ((), (files[0], '--composition', 'NaCl')):
        result = run(*arguments)
        assert result.exit_code == 2 and 'not both' in result.stderr
