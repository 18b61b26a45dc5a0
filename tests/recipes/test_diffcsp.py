"""The recipe of the arm `diffcsp`: an interrupted training that goes on, its card and the arm itself."""

import json
import sys
from pathlib import Path

import pytest
from recipe_data import PARTS, write_recipe_data

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import crystals
import diffcsp
from arms import csp_diffusion
from arms.diffcsp import DiffCSP

SIZES = {'hidden': 16, 'layers': 2, 'frequencies': 4, 'time': 8}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the recipe for some seconds, at a small size, and returns its folder."""
    data = write_recipe_data(tmp_path / 'data', crystals.FILES)
    monkeypatch.setattr(diffcsp, 'SMALL', SIZES)
    monkeypatch.setattr(diffcsp, 'BATCH_SIZE', 8)
    monkeypatch.setattr(crystals, 'part_of', PARTS.__getitem__)

    def call(seconds, *options):
        arguments = ['--data', str(data), '--output', str(tmp_path / 'run')]
        monkeypatch.setattr(sys, 'argv', ['diffcsp.py', *arguments, '--hours', str(seconds / 3600), *options])
        diffcsp.main()
        return tmp_path / 'run'

    return call


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_its_checkpoint_is_the_arm(run, monkeypatch):
    folder = run(2.0)
    first = json.loads((folder / 'diffcsp' / 'card.json').read_text())
    run(4.0, '--resume')
    second = json.loads((folder / 'diffcsp' / 'card.json').read_text())
    assert second['step'] > first['step'] > 0
    assert second['history'][: len(first['history'])] == first['history']
    assert set(second['num_structures']) == {'test', 'train', 'validation'}
    monkeypatch.setattr(csp_diffusion, 'STEPS', 3)
    arm = DiffCSP.load(folder / 'diffcsp')
    found = arm({'Li': 1, 'H': 2}, 2, seed=5)
    assert [each.composition.as_dict() for each in found if each] == [{'Li': 1, 'H': 2}] * 2
    assert arm({'Li': 1, 'H': 2}, 2, seed=5) == found != arm({'Li': 1, 'H': 2}, 2, seed=6)


def test_an_unwanted_state_does_not_pass(run, capsys):
    with pytest.raises(SystemExit):
        run(1.0, '--resume')
    assert 'resume from' in capsys.readouterr().err
