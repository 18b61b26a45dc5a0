"""The package as a whole: entry points, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

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
