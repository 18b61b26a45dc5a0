"""Checkpoint files: whatever is damaged is refused, never loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, WEIGHTS_NAME, CheckpointInfo, read_checkpoint, write_info


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a valid checkpoint."""
    save_file({'w': np.linspace(0, 1, 7)}, tmp_path / WEIGHTS_NAME)
    write_info(tmp_path, role='validator', architecture='toy', configuration={'n': 7}, num_parameters=7)
    return tmp_path


def test_round_trip(folder):
    weights, info = read_checkpoint(folder, 'validator')
    assert weights == (folder / WEIGHTS_NAME).read_bytes()
    assert CheckpointInfo.model_validate_json(info.model_dump_json()) == info
    assert not list(folder.glob('*.partial'))


def test_wrong_role_is_refused(folder):
    with pytest.raises(InvalidInputError, match='role `validator`, expected `generator`'):
        read_checkpoint(folder, 'generator')


@pytest.mark.parametrize('name', [WEIGHTS_NAME, CONFIG_NAME])
def test_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(CorruptFileError, match=r'needs model\.safetensors and config\.json'):
        read_checkpoint(folder)


@pytest.mark.parametrize('name', [WEIGHTS_NAME, CONFIG_NAME])
def test_truncated_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-20])
    with pytest.raises(CorruptFileError):
        read_checkpoint(folder)


def test_every_flipped_byte_of_the_weights_is_noticed(folder):
    content = (folder / WEIGHTS_NAME).read_bytes()
    for position in range(len(content)):
        (folder / WEIGHTS_NAME).write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        with pytest.raises(CorruptFileError, match='damaged or was replaced'):
            read_checkpoint(folder)


def test_weights_that_are_no_safetensors_are_refused(tmp_path):
    (tmp_path / WEIGHTS_NAME).write_bytes(b'\x80\x04pickle')
    write_info(tmp_path, role='validator', architecture='toy', configuration={}, num_parameters=1)
    with pytest.raises(CorruptFileError, match='not a readable safetensors file'):
        read_checkpoint(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    save_file({'w': np.array([1.0, np.nan])}, tmp_path / WEIGHTS_NAME)
    write_info(tmp_path, role='validator', architecture='toy', configuration={}, num_parameters=2)
    with pytest.raises(CorruptFileError, match='`w` is not finite'):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    'change', [{'role': 'oracle'}, {'surprise': 1}, {'num_parameters': 0}, {'sha256': 'short'}, {'format_version': 99}]
)
def test_wrong_description_is_refused(folder, change):
    content = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**content, **change}))
    with pytest.raises(CorruptFileError, match=r'config\.json` is damaged|format version 99'):
        read_checkpoint(folder)
