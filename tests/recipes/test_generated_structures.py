"""The recipe of generated structures for teachers."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from aiida_qagenai.exchange.structures import StructureBatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import generated_structures


@pytest.fixture
def crystals():
    """Return rock salts, an element and a noble gas."""
    cell = 2.1 * (np.ones((3, 3)) - np.eye(3))
    pairs = [(12, 8), (11, 17), (20, 8), (28, 28), (18, 18)]
    return StructureBatch(
        num_atoms=np.full(len(pairs), 2),
        cells=np.stack([cell] * len(pairs)),
        species=np.ravel(pairs),
        fractional=np.array([[0, 0, 0], [0.5, 0.5, 0.5]] * len(pairs)),
        identifiers=np.array([f'crystal-{number}' for number in range(len(pairs))]),
    )


def test_formulas_are_those_of_compounds_in_an_order_of_their_own(crystals):
    found = generated_structures.formulas_of(crystals, 10)
    assert set(found) == {'MgO', 'NaCl', 'CaO'}
    assert generated_structures.formulas_of(crystals.select([2, 1, 0]), 10) == found
    assert generated_structures.formulas_of(crystals, 2) == found[:2]


@pytest.mark.slow
def test_structures_are_of_the_formulas_and_not_the_known_ones(crystals, tmp_path, monkeypatch):
    crystals.save(tmp_path / 'crystals.npz')
    options = ['--structures', str(tmp_path), '--formulas', '2', '--count', '2']
    monkeypatch.setattr(sys, 'argv', ['generated_structures.py', *options])
    generated_structures.main()
    found = StructureBatch.load(tmp_path / 'structures_generated.npz')
    assert found.identifiers.tolist() == [f'generated/{number}' for number in range(4)]
    formulas = [structure.composition.reduced_formula for structure in found.structures()]
    assert sorted(set(formulas)) == sorted(generated_structures.formulas_of(crystals, 2))
    requests = json.loads((tmp_path / 'generate' / 'config.json').read_text())['requests']
    assert all(request['exclude'] == [request['formula']] for request in requests)
