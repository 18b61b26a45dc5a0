"""Which modules may import what, where the import contract of `pyproject.toml` cannot say it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'aiida_qagenai'
ENGINE = PACKAGE / 'engine'
INTERNAL = (
    'aiida.brokers',
    'aiida.engine.daemon',
    'aiida.engine.persistence',
    'aiida.manage',
    'aiida.orm.implementation',
    'aiida.orm.utils.links',
    'aiida.storage',
    'aiida.tools.archive.implementations',
    'kiwipy',
    'plumpy',
)
"""Modules that only `engine` imports from."""


def internal_imports(source: str) -> Iterator[str]:
    """Yield what a module imports from the internals of AiiDA: private names, and modules of ``INTERNAL``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split('.')
            within = any(name == module or name.startswith(f'{module}.') for module in INTERNAL)
            private = parts[0] == 'aiida' and any(part.startswith('_') and not part.endswith('__') for part in parts)
            if within or private:
                yield name


@pytest.mark.parametrize(
    ('source', 'found'),
    [
        ('from aiida.manage import get_manager', ['aiida.manage.get_manager']),
        ('def f():\n    import aiida.storage.psql_dos', ['aiida.storage.psql_dos']),
        ('from plumpy.process_states import ProcessState', ['plumpy.process_states.ProcessState']),
        ('from aiida.common.hashing import _make_hash', ['aiida.common.hashing._make_hash']),
        ('from aiida.orm import Dict, load_node\nfrom aiida import __version__', []),
    ],
)
def test_internal_imports_are_recognised(source, found):
    assert [*internal_imports(source)] == found


def test_only_the_engine_imports_internals_of_aiida():
    modules = [path for path in PACKAGE.rglob('*.py') if not path.is_relative_to(ENGINE)]
    assert modules
    found = {str(path.relative_to(PACKAGE)): [*internal_imports(path.read_text('utf8'))] for path in modules}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize('path', sorted(ENGINE.glob('[!_]*.py')), ids=lambda path: path.stem)
def test_a_module_of_the_engine_says_what_aiida_lacks(path):
    """So that it can be offered upstream; the manual lists the same modules."""
    text = ast.get_docstring(ast.parse(path.read_text('utf8')))
    assert '\nUpstream: ' in text
    manual = (PACKAGE.parent / 'docs' / 'explanation' / 'engine.md').read_text('utf8')
    assert f'`{path.stem}`' in manual
