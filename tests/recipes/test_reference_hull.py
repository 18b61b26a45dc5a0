"""The recipe of the hull that comes with the package."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import reference_hull


def test_the_recipe_packs_phases_and_writes_their_card(tmp_path, monkeypatch):
    rows = {
        'mp-2': {'formula': 'Cl2', 'e_form': 0.0},
        'mp-1': {'formula': 'Na', 'e_form': 0.0},
        'mp-3': {'formula': 'NaCl', 'e_form': -2.1},
        'mp-4': {'formula': 'Na2SiCl6', 'e_form': -2.3},
        'mp-5': {'formula': 'NaSiClO2', 'e_form': -1.7},
    }
    source = tmp_path / reference_hull.SOURCE
    source.parent.mkdir()
    source.write_bytes(gzip.compress(json.dumps(rows).encode()))
    arguments = ['reference_hull.py', '--data', str(tmp_path), '--output', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', arguments)
    reference_hull.main()
    packed = (tmp_path / 'reference.npz').read_bytes()
    hull = ReferenceHull.load(tmp_path / 'reference.npz')
    assert [phase.identifier for phase in hull.phases(['Na', 'Cl', 'Si'])] == ['mp-1', 'mp-2', 'mp-3', 'mp-4']
    assert hull.phases(['Na', 'Cl'])[-1].energy_per_atom == pytest.approx(-2.1, abs=1e-6)
    card = json.loads((tmp_path / 'card.json').read_text())
    assert card['num_phases'] == 5 and card['largest_rounding'] < 2e-7
    assert card['references_per_system'] == {'2': [3, 3, 3], '3': [5, 5, 5], '4': [7, 7, 7]}
    reference_hull.main()
    assert (tmp_path / 'reference.npz').read_bytes() == packed
    monkeypatch.setattr(sys, 'argv', [*arguments[:2], str(tmp_path / 'nowhere')])
    with pytest.raises(SystemExit):
        reference_hull.main()
