"""Fixtures of the provenance tests: running calculations, candidates, and two batch calculations on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The engine finds a process class by its import path.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def running(localhost):
    """Return a factory of calculation nodes that run: stored and not sealed."""
    from aiida.orm import CalcFunctionNode, CalcJobNode

    def create(kind: str = 'job'):
        if kind == 'function':
            return CalcFunctionNode().store()
        node = CalcJobNode(computer=localhost, process_type='aiida.calculations:core.arithmetic.add')
        node.set_option('resources', {'num_machines': 1})
        return node.store()

    return create


@pytest.fixture
def candidates():
    """Return a factory of ``n`` unstored candidates, rock salt with growing lattice constant, by output label."""
    from batch_processes import make_candidates

    return make_candidates


@pytest.fixture
def batch_codes(localhost, entry_points):
    """Register the two batch calculations of this folder and return a code that runs them."""
    from aiida.orm import InstalledCode
    from batch_processes import GenerateParser, GenerateToy, PredictParser, PredictToy

    entry_points.add(GenerateToy, 'aiida.calculations:qagenai.toy_generate')
    entry_points.add(PredictToy, 'aiida.calculations:qagenai.toy_predict')
    entry_points.add(GenerateParser, 'aiida.parsers:qagenai.toy_generate')
    entry_points.add(PredictParser, 'aiida.parsers:qagenai.toy_predict')
    return InstalledCode(label='true', computer=localhost, filepath_executable='/bin/true').store()
