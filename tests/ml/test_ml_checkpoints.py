"""Saving and loading checkpoints as tensors."""

import pytest
import torch
from torch import nn

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, NonFiniteError
from aiida_qagenai.ml.checkpoints import load_checkpoint, load_parent, load_weights, save_checkpoint
from aiida_qagenai.ml.progress import Progress, Record

FIELDS = {
    'role': 'generator',
    'architecture': 'crystal-diffusion-tiny',
    'configuration': {'size': 'tiny'},
    'num_parameters': 2,
    'metrics': {'loss': 1.0, 'undefined': float('nan')},
}


def test_tensors_come_back_and_undefined_metrics_are_left_out(tmp_path):
    weights = {'a': torch.arange(4.0).reshape(2, 2).T, 'b': torch.tensor([1, 2])}
    save_checkpoint(tmp_path / 'c', weights, **FIELDS)
    tensors, info = load_checkpoint(tmp_path / 'c', 'generator')
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)
    assert info.metrics == {'loss': 1.0}
    assert {'torch', 'numpy', 'aiida_qagenai'} <= set(info.versions)


def test_a_checkpoint_replaces_another_completely(tmp_path):
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path / 'c', {'a': torch.tensor(value)}, **FIELDS)
    assert load_checkpoint(tmp_path / 'c', 'generator')[0]['a'] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ['c']


def test_weights_that_are_not_finite_are_never_written(tmp_path):
    with pytest.raises(NonFiniteError, match='`a`'):
        save_checkpoint(tmp_path / 'c', {'a': torch.tensor([1.0, float('inf')])}, **FIELDS)
    assert not list(tmp_path.iterdir())


def test_the_parent_must_have_the_role_and_the_architecture(tmp_path):
    save_checkpoint(tmp_path / 'c', {'a': torch.tensor(1.0)}, **FIELDS)
    assert load_parent(None, 'generator', 'x') is None
    with pytest.raises(InvalidInputError, match='crystal-diffusion-base'):
        load_parent(tmp_path / 'c', 'generator', 'crystal-diffusion-base')
    with pytest.raises(InvalidInputError, match='role'):
        load_parent(tmp_path / 'c', 'validator', 'crystal-diffusion-tiny')


def test_weights_of_another_network_are_refused():
    with pytest.raises(CorruptFileError, match='train the checkpoint again'):
        load_weights(nn.Linear(2, 2), {'other': torch.zeros(1)}, 'linear')


def test_a_loss_that_is_not_finite_stops_the_run():
    progress = Progress(10)
    with pytest.raises(NonFiniteError, match='step 2'):
        for loss in (1.0, float('nan'), 1.0):
            progress.advance('training', {'loss': loss})


def test_progress_ends_with_the_last_step(capsys):
    progress = Progress(1000)
    for _ in range(1000):
        progress.advance('training', {'loss': 0.5})
    lines = capsys.readouterr().out.splitlines()
    assert 20 <= len(lines) <= 30
    assert lines[-1].startswith('training: step 1000/1000 loss 0.5 elapsed')


def test_warnings_are_kept_once():
    record = Record()
    for _ in range(3):
        record.warn('careful')
    assert record.warnings == ['careful']
