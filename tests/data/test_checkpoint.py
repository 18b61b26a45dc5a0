"""Checkpoints that come from a folder or with the package."""

from __future__ import annotations

import pytest
from aiida.orm import QueryBuilder

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData, import_checkpoint, import_foundation
from aiida_qagenai.exchange.checkpoint import WEIGHTS_NAME


def test_the_same_weights_are_stored_once(aiida_profile_clean, checkpoint_folder):
    """The second import returns the first node, with its label."""
    node, is_new = import_checkpoint(checkpoint_folder, 'first')
    again, is_new_again = import_checkpoint(checkpoint_folder, 'second')
    assert (is_new, is_new_again) == (True, False) and node.is_stored
    assert again.uuid == node.uuid and again.label == 'first'
    assert QueryBuilder().append(CheckpointData).count() == 1


def test_damaged_weights_are_not_stored(aiida_profile_clean, checkpoint_folder):
    """Nothing is left in the profile."""
    (checkpoint_folder / WEIGHTS_NAME).write_bytes(b'0')
    with pytest.raises(CorruptFileError, match='damaged'):
        import_checkpoint(checkpoint_folder)
    assert QueryBuilder().append(CheckpointData).count() == 0


def test_the_generator_of_the_package(aiida_profile_clean, foundation):
    """It is a generator with its own label, found again."""
    node, is_new = import_foundation()
    assert is_new and (node.role, node.label) == ('generator', 'foundation')
    assert import_foundation()[0].uuid == node.uuid


def test_an_installation_without_it(aiida_profile_clean, monkeypatch, tmp_path):
    """One line says what to do."""
    monkeypatch.setattr('aiida_qagenai.data.checkpoint.FOUNDATION', tmp_path / 'foundation')
    with pytest.raises(InvalidInputError, match='install the package again'):
        import_foundation()
