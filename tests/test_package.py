"""The package as a whole: entry points, what an import costs, and the length of files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import aiida_qagenai

GROUPS = ('aiida.calculations', 'aiida.data', 'aiida.parsers', 'aiida.workflows')
ENTRY_POINTS = [point for group in GROUPS for point in entry_points(group=group) if point.name.startswith('qagenai.')]


@pytest.mark.parametrize('point', ENTRY_POINTS, ids=lambda point: f'{point.group}:{point.name}')
def test_entry_point_loads(point):
    """Every entry point names a class that exists."""
    assert isinstance(point.load(), type)


@pytest.mark.parametrize(
    ('module', 'forbidden'),
    [
        ('aiida_qagenai', ('aiida', 'torch', 'pymatgen', 'numpy')),
        ('aiida_qagenai.common.plotting', ('aiida', 'matplotlib', 'numpy')),
        ('aiida_qagenai.ml.cli', ('aiida', 'torch')),
        ('aiida_qagenai.workchains.campaign.campaign', ('torch', 'e3nn', 'pyscf')),
        ('aiida_qagenai.cli', ('aiida', 'torch', 'pymatgen')),
    ],
)
def test_import_is_light(module, forbidden):
    """Importing ``module`` loads none of the heavy packages."""
    code = f'import sys, {module}; print(*[name for name in {forbidden!r} if name in sys.modules])'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == ''


@pytest.mark.parametrize(
    'module', ['cli.generate', 'cli.predict', 'cli.screen', 'ml.runtime', 'queries.candidates', 'queries.archive']
)
def test_import_needs_no_module_of_unix(module):
    """Screening, generation, prediction, searches and archives load where PySCF, fcntl and resource do not exist."""
    # psutil has other code for other systems.
    code = (
        'import psutil, sys\n'
        'sys.modules.update(dict.fromkeys(("aiida_pyscf", "fcntl", "grp", "pwd", "pyscf", "resource", "termios")))\n'
        f'import aiida_qagenai.{module}'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_pyscf_is_one_line_with_the_way_out():
    """Every command that computes energies ends in it, not in a traceback."""
    code = (
        'import sys; sys.modules["aiida_pyscf"] = None\n'
        'from aiida_qagenai.cli import main\n'
        'main(["energy", "run", "none.cif", "--options", "none.yaml"])'
    )
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1
    assert 'energies by PySCF need aiida-pyscf, not installed here: pip install' in done.stderr


PACKAGE = Path(aiida_qagenai.__file__).parent
MAX_FILE = 400
MAX_FUNCTION = 60
LONG_FUNCTIONS: dict[str, str] = {}
"""Longer than MAX_FUNCTION, and why."""


def test_files_and_functions_are_short():
    """A file has at most 400 lines and a function 60; what is longer is listed with its reason."""
    files, functions = [], set()
    for path in sorted(PACKAGE.rglob('*.py')):
        text = path.read_text(encoding='utf-8')
        name = path.relative_to(PACKAGE).as_posix()
        if text.count('\n') > MAX_FILE:
            files.append(name)
        for node in ast.walk(ast.parse(text)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.end_lineno - node.lineno >= MAX_FUNCTION:
                functions.add(f'{name}:{node.name}')
    assert not files
    assert functions == set(LONG_FUNCTIONS)
