"""Fixtures of the tests of scripts: as text, and imported into this process."""

from __future__ import annotations

import importlib.util

import pytest

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import write_script


@pytest.fixture
def render():
    """Return a factory of scripts for a structure and parameters."""

    def create(structure, parameters: dict) -> str:
        sites = [(site.kind_name, site.position) for site in structure.sites]
        return write_script(PyscfCellParameters.parse(parameters), structure.cell, sites)

    return create


@pytest.fixture
def load_script(render, tmp_path, monkeypatch):
    """Return a factory of imported scripts: their functions without their main program."""
    # The script sets both, for this process as well.
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('OPENBLAS_CORETYPE', 'Haswell')
    monkeypatch.chdir(tmp_path)

    def create(structure, parameters: dict):
        path = tmp_path / 'script.py'
        path.write_text(render(structure, parameters), encoding='utf-8')
        spec = importlib.util.spec_from_file_location('qagenai_script', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return create
