"""`aiida-qagenai relax files`: crystals of files on a potential, without a profile."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from click.testing import CliRunner

from aiida_qagenai.cli.relax_files import relax_files
from aiida_qagenai.common.errors import InvalidInputError


@pytest.fixture
def crystals(tmp_path):
    """Return a file with distorted copper, overlapping atoms, sodium (unknown to EMT) and silver."""
    copper = bulk('Cu', cubic=True, a=3.7)
    copper.rattle(0.05, seed=1)
    double = Atoms('Cu2', positions=[(0, 0, 0), (0.001, 0, 0)], cell=np.eye(3) * 3, pbc=True)
    path = tmp_path / 'crystals.extxyz'
    write(path, [copper, double, bulk('Na', 'fcc', a=4.0), bulk('Ag', a=4.2)])
    return path


def run(*arguments):
    return CliRunner().invoke(relax_files, [str(argument) for argument in arguments], catch_exceptions=False)


def test_crystals_are_relaxed_or_reported(crystals, tmp_path):
    output = tmp_path / 'relaxed'
    result = run(crystals, '--potential', 'emt', '--output', output, '--max-force', 0.01)
    assert result.exit_code == 0 and '2 of 4 crystals are relaxed' in result.stdout
    table = pd.read_csv(output / 'relaxed.csv')
    assert table['converged'].tolist() == [True, False, False, True]
    copper, double, sodium, silver = table.to_dict('records')
    assert copper['space_group_before'] != 225 and copper['space_group'] == 225 and copper['rmsd'] > 0.05
    assert copper['max_force'] <= 0.01 and -0.15 < copper['volume_change'] < -0.05
    assert silver['rmsd'] == pytest.approx(0, abs=1e-9) and silver['space_group'] == 225
    assert double['reason'] and 'Na' in sodium['reason'] and np.isnan(sodium['energy_per_atom'])
    images = read(output / 'relaxed.extxyz', ':')
    before = read(crystals, ':')
    assert [image.get_chemical_formula() for image in images] == ['Cu4', 'Cu2', 'Na', 'Ag']
    assert images[0].get_volume() == pytest.approx(before[0].get_volume() * (1 + copper['volume_change']), rel=1e-5)
    np.testing.assert_allclose(images[2].cell, before[2].cell)
    assert images[0].info['potential'] == 'emt' and not images[2].info['converged']


@pytest.mark.slow
def test_nothing_is_replaced_unless_told(crystals, tmp_path):
    """The same command goes on; another one, other files, and files that were changed are kept."""
    output = tmp_path / 'relaxed'
    command = (crystals, '--potential', 'emt', '--output', output)
    assert run(*command).exit_code == 0
    journal = (output / 'relaxation' / 'relaxed.jsonl').read_text()
    assert run(*command).exit_code == 0
    assert (output / 'relaxation' / 'relaxed.jsonl').read_text().strip() == journal.strip()
    with pytest.raises(InvalidInputError, match='results of another command'):
        run(*command, '--steps', 3)
    (output / 'relaxed.csv').write_text('mine')
    with pytest.raises(InvalidInputError, match='was changed since it was written'):
        run(*command)
    assert run(*command, '--steps', 3, '--overwrite').exit_code == 0
    assert 'not converged in 3 steps' in (output / 'relaxed.csv').read_text()
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'thesis.tex').write_text('mine')
    with pytest.raises(InvalidInputError, match='holds files: choose another folder'):
        run(crystals, '--potential', 'emt', '--output', tmp_path / 'other')


def test_a_command_that_was_cut_goes_on(crystals, tmp_path):
    """An outcome of the journal that no relaxation gives shows that it was read."""
    output = tmp_path / 'relaxed'
    command = (crystals, '--potential', 'emt', '--output', output, '--format', 'json')
    run(*command)
    journal = output / 'relaxation' / 'relaxed.jsonl'
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    journal.write_text(json.dumps({**next(line for line in lines if line['converged']), 'steps': 77}) + '\n{"cut')
    for name in ('relaxed.csv', 'relaxed.extxyz'):
        (output / name).unlink()
    steps = [row['steps'] for row in json.loads(run(*command).stdout)]
    assert steps.count(77) == 1 and len(steps) == 4


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--potential', 'chgnet', '--validator', '.'], r'\(--validator\) does not go with the potential chgnet'),
        (['--potential', 'validator:HSE06'], 'was not trained on HSE06, only on PBE'),
        (['--potential', 'sevennet:mf-0'], 'needs the modality PBE or R2SCAN'),
        (['--potential', 'nothing'], 'nothing'),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_runs(crystals, tmp_path, arguments, text):
    with pytest.raises(InvalidInputError, match=text):
        run(crystals, '--output', tmp_path / 'relaxed', *arguments)
    assert not (tmp_path / 'relaxed').exists()


def test_partial_occupancies_cost_the_others_nothing(crystals, tmp_path):
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(3.0), [{'Cu': 0.5, 'Ag': 0.5}], [[0, 0, 0]])
    mixed.to(str(tmp_path / 'mixed.cif'))
    result = run(tmp_path / 'mixed.cif', crystals, '--potential', 'emt', '--output', tmp_path / 'relaxed')
    assert result.exit_code == 0
    table = pd.read_csv(tmp_path / 'relaxed' / 'relaxed.csv')
    assert len(table) == 5 and 'partial occupancies' in table['reason'][0]
    assert len(read(tmp_path / 'relaxed' / 'relaxed.extxyz', ':')) == 4
