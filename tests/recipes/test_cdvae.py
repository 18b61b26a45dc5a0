"""The recipe of the arm `cdvae`: an interrupted training that goes on, its card and the arm itself."""

import json
import sys
from pathlib import Path

import pytest
from recipe_data import PARTS, write_recipe_data

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import cdvae
import crystals
from arms import vae
from arms.cdvae import Cdvae

SIZES = {'hidden': 16, 'encoder_layers': 1, 'decoder_layers': 2, 'frequencies': 4, 'latent': 4, 'time': 8}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the recipe for some seconds, at a small size, and returns its folder."""
    data = write_recipe_data(tmp_path / 'data', crystals.FILES)
    monkeypatch.setattr(cdvae, 'SMALL', SIZES)
    monkeypatch.setattr(cdvae, 'BATCH_SIZE', 8)
    monkeypatch.setattr(crystals, 'part_of', PARTS.__getitem__)

    def call(seconds, *options):
        arguments = ['--data', str(data), '--output', str(tmp_path / 'run')]
        monkeypatch.setattr(sys, 'argv', ['cdvae.py', *arguments, '--hours', str(seconds / 3600), *options])
        cdvae.main()
        return tmp_path / 'run'

    return call


def test_an_interrupted_training_goes_on_and_its_checkpoint_is_the_arm(run, monkeypatch):
    folder = run(2.0)
    first = json.loads((folder / 'cdvae' / 'card.json').read_text())
    run(4.0, '--resume')
    second = json.loads((folder / 'cdvae' / 'card.json').read_text())
    assert second['step'] > first['step'] > 0
    assert second['history'][: len(first['history'])] == first['history']
    assert second['recipe'].startswith('python recipes/cdvae.py --hours ')
    assert set(second['num_structures']) == {'test', 'train', 'validation'}
    monkeypatch.setattr(vae, 'STEPS_PER_LEVEL', 1)
    arm = Cdvae.load(folder / 'cdvae')
    found = arm({'Li': 1, 'H': 2}, 2, seed=5)
    assert [each.composition.as_dict() for each in found if each] == [{'Li': 1, 'H': 2}] * 2
    assert arm({'Li': 1, 'H': 2}, 2, seed=5) == found != arm({'Li': 1, 'H': 2}, 2, seed=6)
