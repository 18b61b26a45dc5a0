"""The comparison with DiffCSP in the benchmark of structure prediction: what is measured on which crystals."""

import json
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import structure_prediction
from arms import csp_diffusion

REFERENCES = {
    'rock salt': Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.2), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'caesium chloride': Structure(Lattice.cubic(4.1), ['Cs', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'lithium': Structure(Lattice.cubic(3.5), ['Li', 'Li'], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}


def right_by_half(composition, count, seed):
    """Predict rock salt right and the rest wrong."""
    found = REFERENCES['rock salt'] if 'Mg' in composition else Structure(Lattice.cubic(9), ['Cs'], [[0, 0, 0]])
    return [found] * count


def test_the_comparison_with_diffcsp_names_its_crystals_and_speeds(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(csp_diffusion, 'STEPS', 2)
    references = {name: REFERENCES[name] for name in ('rock salt', 'caesium chloride')}
    structure_prediction.against_diffcsp(right_by_half, references, tmp_path / 'missing')
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    figures = {line['name']: line for line in lines}
    assert figures['match-rate-diffcsp']['value'] == 0
    assert figures['match-rate-diffcsp']['reference_value'] == 0.5
    assert figures['match-rate-diffcsp']['unit'].startswith('share of 2 ')
    assert figures['rmse-diffcsp']['reference_value'] == pytest.approx(0, abs=1e-6)
    ratio = figures['sampling-vs-diffcsp']['value'] / figures['sampling-vs-diffcsp-published-size']['value']
    speeds = [figures[name]['value'] for name in ('speed-diffcsp-published-size', 'speed-diffcsp')]
    assert ratio == pytest.approx(speeds[0] / speeds[1])
    assert 'sampling-vs-diffcsp-diffusion' not in figures


def test_crystals_of_one_size_are_drawn_side_by_side(monkeypatch):
    monkeypatch.setattr(csp_diffusion, 'STEPS', 2)
    compositions = {name: structure_prediction.content(each) for name, each in REFERENCES.items()}
    assert structure_prediction.grouped(compositions) == {2: ['rock salt', 'caesium chloride'], 1: ['lithium']}
    drawn, rate = structure_prediction.draw(compositions)
    assert rate > 0
    for name, (crystal,) in drawn.items():
        assert crystal is None or crystal.composition.as_dict() == compositions[name]
