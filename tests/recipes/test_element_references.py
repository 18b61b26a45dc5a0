"""The recipe of the energies of the elements."""

import gzip
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import element_references


def test_the_most_stable_crystal_of_each_element_is_kept(tmp_path, monkeypatch):
    source = tmp_path / element_references.SOURCE
    source.parent.mkdir()
    source.write_bytes(
        gzip.compress(json.dumps({'O': {'energy_per_atom': [-4.8, -4.95]}, 'H': {'energy_per_atom': [-3.4]}}).encode())
    )
    monkeypatch.setattr(sys, 'argv', ['element_references.py', '--data', str(tmp_path), '--output', str(tmp_path)])
    element_references.main()
    card = json.loads((tmp_path / 'mp_elements.json').read_text())
    assert card['energies'] == {'H': -3.4, 'O': -4.95} and card['license'] == 'CC BY 4.0'
    source.write_bytes(gzip.compress(json.dumps({'O': {'energy_per_atom': [float('nan')]}}).encode()))
    with pytest.raises(SystemExit, match='no finite energy of O'):
        element_references.main()
