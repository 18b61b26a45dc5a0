"""The recipe of the shipped generator: an interrupted training that goes on, and its card."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_data import PARTS, write_recipe_data
from toy_crystals import toy_dataset
from untrained import write_untrained_generator

from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.generator.network import SIZES
from aiida_qagenai.ml.runtime import setup

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'recipes'))

import crystals
import foundation
import gap_data


@pytest.fixture
def data(tmp_path):
    """Return a folder like that of the data, with a few made-up crystals, some of them with a gap."""
    folder = write_recipe_data(tmp_path / 'data', crystals.FILES)
    rows = ['material_id,gap_pbe', *(f'mp-0{number},{number % 3}' for number in range(20))]
    (folder / gap_data.FILES[-1]).write_bytes(gzip.compress('\n'.join(rows).encode()))
    return folder


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Return a function that runs the recipe for some seconds, at a small size, and returns its folder."""
    monkeypatch.setattr(foundation, 'SIZE', 'tiny')
    monkeypatch.setattr(foundation, 'BATCH_SIZE', 8)
    monkeypatch.setattr(crystals, 'part_of', PARTS.__getitem__)

    def call(seconds, *options):
        arguments = ['--data', str(data), '--output', str(tmp_path / 'run'), '--hours', str(seconds / 3600), *options]
        monkeypatch.setattr(sys, 'argv', ['foundation.py', *arguments])
        foundation.main()
        return tmp_path / 'run'

    return call


def test_a_training_goes_on_where_it_was_interrupted(run, data):
    folder = run(3.0)
    first = json.loads((folder / 'card.json').read_text())
    folder = run(6.0, '--resume')
    second = json.loads((folder / 'card.json').read_text())
    assert second['step'] > first['step'] > 0
    assert second['history'][: len(first['history'])] == first['history']
    _, info = read_checkpoint(folder / 'foundation', 'generator')
    assert info.sha256 == second['checkpoint_sha256'] != first['checkpoint_sha256']
    assert info.architecture == 'crystal-diffusion-tiny'
    assert info.configuration['network'] == SIZES['tiny']
    name = crystals.FILES[0]
    assert second['files'][name] == hashlib.sha256((data / name).read_bytes()).hexdigest()


def test_test_formulas_and_excluded_ones_are_never_trained_on(run, tmp_path):
    (tmp_path / 'excluded.txt').write_text('Li2H\n')
    folder = run(1.0, '--exclude', str(tmp_path / 'excluded.txt'))
    card = json.loads((folder / 'card.json').read_text())
    assert card['excluded_formulas'] == ['Li2H']
    labels = toy_dataset()
    groups = np.unique(labels.groups, return_counts=True)
    counts = dict(zip(*groups, strict=True))
    assert card['num_structures'] == {
        'excluded': counts['Li2H'],
        'test': counts['Li'],
        'train': counts['LiH'],
        'validation': counts['LiH2'],
    }
    _, info = read_checkpoint(folder / 'foundation', 'generator')
    assert sum(info.configuration['num_atoms_counts'].values()) == counts['LiH']


def test_a_training_begins_with_another_checkpoint_and_learns_gaps(run, tmp_path, monkeypatch):
    monkeypatch.setattr(foundation, 'ELEMENTS', (1, 3))
    monkeypatch.setattr(foundation, 'SYMBOLS', {0: 'H', 2: 'Li'})
    write_untrained_generator(tmp_path / 'start', ('H', 'Li'))
    folder = run(2.0, '--start', str(tmp_path / 'start'))
    card = json.loads((folder / 'card.json').read_text())
    start, _ = load_checkpoint(tmp_path / 'start', 'generator')
    tensors, info = load_checkpoint(folder / 'foundation', 'generator')
    assert info.parent_sha256 == card['start_sha256'] == read_checkpoint(tmp_path / 'start', 'generator')[1].sha256
    assert torch.equal(tensors['lattice.mean'], start['lattice.mean'])
    gap = FIELDS.index('band_gap')
    assert card['num_gaps']['train'] > 0 and 0 < tensors['q_mean'][gap] < 2
    assert (tensors['q_embedding.weight'][:, gap] != 0).any()
    monkeypatch.setattr(foundation, 'ELEMENTS', (1, 3, 8))
    with pytest.raises(SystemExit, match='other elements'):
        foundation.model_of(tmp_path / 'start', [], setup(RuntimeConfig()))


def test_neither_a_missing_nor_an_unwanted_state_passes(run, capsys):
    with pytest.raises(SystemExit):
        run(1.0, '--resume')
    assert 'resume from' in capsys.readouterr().err
    run(1.0)
    with pytest.raises(SystemExit):
        run(1.0)
    assert 'give --resume' in capsys.readouterr().err
