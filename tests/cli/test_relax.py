"""Relaxations from the command line: run on the daemon, shown, written, and refused before anything runs."""

from __future__ import annotations

import json

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read

GAMMA = 'pyscf.energy.meshes={PBE: {fixed: [1, 1, 1], shift: [0, 0, 0]}}'


@pytest.fixture
def molecule(tmp_path):
    """Return a file with a crystal of stretched H2 molecules."""
    file = tmp_path / 'h2.extxyz'
    Atoms('H2', positions=[(0, 0, 0), (0.05, 0, 0.95)], cell=[3.5, 3.5, 3.5], pbc=True).write(file)
    return file


@pytest.mark.slow
def test_a_crystal_of_a_file_is_relaxed_shown_and_written(new_machine, molecule, tmp_path):
    """The table says what is left of the forces; the file holds the relaxed bond."""
    machine = new_machine('relax')
    arguments = ('--protocol', 'pipeline', '--set', GAMMA)
    printed = machine.run('aiida-qagenai', 'relax', 'run', str(molecule), *arguments)
    assert 'exit status 0' in printed
    pk = printed.split('relax show ')[1].split()[0]
    (row,) = json.loads(machine.run('aiida-qagenai', 'relax', 'show', pk, '--format', 'json'))
    assert row['formula'] == 'H2' and row['max_force'] <= 0.05 and row['warnings'] == 'not scientific'
    relaxed = tmp_path / 'relaxed.cif'
    assert f'wrote {relaxed}' in machine.run('aiida-qagenai', 'relax', 'show', pk, '--write', str(relaxed))
    assert read(relaxed).get_distance(0, 1, mic=True) < read(molecule).get_distance(0, 1) - 0.02
    assert 'exit status 0' in machine.run('aiida-qagenai', 'relax', 'continue', pk)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['999999'], 'no structure `999999`, expected exactly one node'),
        (['{file}', '--code', 'nothing@localhost'], 'no code `nothing@localhost`'),
        (['{file}', '--engine', 'espresso'], 'no code `pw@localhost`'),
        (['{file}', '--protocol', 'fats'], 'unknown protocol `fats` of relaxations'),
        (['{file}', '--set', 'max_farce=0.1'], 'max_farce'),
        (['{file}', '--options', '{options}'], 'has no section `relax`'),
        (['{many}'], 'holds 2 structures, expected exactly one'),
        (['{code}'], 'is of type InstalledCode (pk {code}), not a structure'),
    ],
)
def test_what_cannot_be_relaxed_is_one_line(pyscf_code, run, molecule, tmp_path, arguments, text):  # noqa: PLR0917
    """Nothing is started."""
    from aiida.orm import ProcessNode, QueryBuilder

    options, many = tmp_path / 'options.yaml', tmp_path / 'many.extxyz'
    options.write_text('pyscf: {queue_name: cpu}', encoding='utf8')
    for append in (False, True):
        bulk('Cu').write(many, append=append)
    values = {'file': molecule, 'options': options, 'many': many, 'code': pyscf_code.pk}
    result = run('relax', 'run', *(argument.format(**values) for argument in arguments), status=1)
    assert text.format(**values) in ' '.join(result.output.split())
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_protocols_are_listed(run):
    """With what they are for."""
    assert 'precise' in run('relax', 'protocols').stdout
