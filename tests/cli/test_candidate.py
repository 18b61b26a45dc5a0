"""Candidates of another program from the command line: proposed on the daemon, shown, written, and refused."""

from __future__ import annotations

import json
import sys

import pytest
from ase.io import read
from generators import PYXTAL_SCRIPT, VERSION


@pytest.mark.slow
def test_program_proposes_candidates(new_machine, tmp_path):
    """The table names where each crystal stands; the file holds all of them."""
    machine = new_machine('generate')
    code = ('--label', 'pyxtal', '--computer', 'localhost', '--filepath-executable', sys.executable)
    plugin = ('--default-calc-job-plugin', 'qagenai.external_generate')
    machine.run('verdi', 'code', 'create', 'core.code.installed', '-n', *code, *plugin)
    options = ('--file', str(PYXTAL_SCRIPT), '--output', 'crystals.extxyz', '--seed', '7')
    version = ('--version-arguments', f'-c "{VERSION}"')
    arguments = (PYXTAL_SCRIPT.name, '--composition', '{"Mg": 1, "O": 1}', '--count', '3', '--seed', '{seed}')
    printed = machine.run(
        'aiida-qagenai', 'candidate', 'generate', '--code', 'pyxtal@localhost', *options, *version, '--', *arguments
    )
    assert 'exit status 0' in printed
    pk = printed.split('candidate show ')[1].split()[0]
    rows = json.loads(machine.run('aiida-qagenai', 'candidate', 'show', pk, '--format', 'json'))
    assert [row['formula'] for row in rows] == ['MgO'] * 3
    assert rows[0]['origin'].startswith('pyxtal 1') and rows[0]['place'] == 'crystals.extxyz, line 1, index 0'
    file = tmp_path / 'all.extxyz'
    shown = machine.run('aiida-qagenai', 'candidate', 'show', pk, '--write', str(file))
    assert 'pyxtal 1' in shown and '3 candidates, 0 crystals that cannot be used' in shown
    assert len(read(file, index=':')) == 3
    assert 'exit status 0' in machine.run('aiida-qagenai', 'candidate', 'continue', pk)


@pytest.fixture
def python(python_code, monkeypatch):
    """Return the code that runs a script, and keep the daemon away."""
    monkeypatch.setattr('aiida_qagenai.engine.daemon.ensure_daemon', lambda: None)
    return python_code('python', 'qagenai.external_generate')


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--code', 'nothing@localhost'], 'no code `nothing@localhost`'),
        (['--output', 'out/*'], 'the name `out/*` does not tell the format'),
        (['--output', '../*.cif'], '`../*.cif` is not a relative path'),
        (['--parameter', 'max_atom=3'], 'unknown key `max_atom`: did you mean `max_atoms`?'),
        (['--version-arguments', '-c "x'], 'cannot be read: No closing quotation'),
        (['--program-version', '1', '--version-arguments', '-V'], 'give either `version` or `version_arguments`'),
        (['--file', '{folder}'], 'may have letters, digits and underscores only'),
    ],
)
def test_what_cannot_be_run_is_one_line(python, run, tmp_path, arguments, text):
    """Nothing is started."""
    from aiida.orm import ProcessNode, QueryBuilder

    folder = tmp_path / 'with-dash'
    folder.mkdir()
    given = [argument.format(folder=folder, script=PYXTAL_SCRIPT) for argument in arguments]
    default = [] if '--code' in given else ['--code', str(python.pk)]
    default += [] if '--output' in given else ['--output', 'out/*.cif']
    result = run('candidate', 'generate', *default, *given, '--', 'x', status=1)
    assert text in ' '.join(result.output.split())
    assert QueryBuilder().append(ProcessNode).count() == 0
