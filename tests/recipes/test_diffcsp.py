"""The recipe of the arm `diffcsp`: an interrupted training that goes on, its card and the arm itself."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from toy_crystals import toy_dataset

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
    structures = list(toy_dataset().structures.structures())
    for number, name in enumerate(crystals.FILES):
        lines = ['material_id,cif']
        lines += [f'mp-{number}{k},"{each.to(fmt="cif")}"' for k, each in enumerate(structures[number::3])]
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress('\n'.join(lines).encode()))
    monkeypatch.setattr(diffcsp, 'SMALL', SIZES)
    monkeypatch.setattr(diffcsp, 'BATCH_SIZE', 8)
    parts = {'LiH': 'train', 'Li2H': 'train', 'LiH2': 'validation', 'Li': 'test'}
    monkeypatch.setattr(crystals, 'part_of', parts.__getitem__)

    def call(seconds, *options):
        arguments = ['--data', str(tmp_path / 'data'), '--output', str(tmp_path / 'run')]
        monkeypatch.setattr(sys, 'argv', ['diffcsp.py', *arguments, '--hours', str(seconds / 3600), *options])
        diffcsp.main()
        return tmp_path / 'run'

    return call


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
