"""Checkpoints and datasets: files are verified whenever they are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from aiida.common.exceptions import ValidationError
from aiida.orm import load_node

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, WEIGHTS_NAME, read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch

TAGS = {'PBE': 'fast:gth', 'CCSD(T)': 'fast:gth'}


@pytest.fixture(scope='module', autouse=True)
def profile(aiida_profile):
    """Empty the profile once for all tests of this module."""
    aiida_profile.reset_storage()


def damage(node, name: str, change) -> None:
    """Change a file in the repository of the profile behind the back of AiiDA."""
    key = node.base.repository.serialize()['o'][name]['k']
    with node.backend.get_repository()._container as container:
        path = Path(container.get_folder()) / 'loose' / key[:2] / key[2:]
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(change(content))


def flip(content: bytes) -> bytes:
    """Flip a bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_checkpoint_round_trip(checkpoint_folder, tmp_path_factory):
    node = CheckpointData(checkpoint_folder, role='validator').store()
    out = tmp_path_factory.mktemp('out') / 'checkpoint'
    load_node(node.pk).write(out)
    assert read_checkpoint(out) == read_checkpoint(checkpoint_folder)
    assert node.role == 'validator'
    assert node.base.attributes.get('elements') == ['H', 'Li']
    assert node.base.attributes.get('dataset_hash') == '0' * 64


def test_wrong_role_is_refused(checkpoint_folder):
    with pytest.raises(InvalidInputError, match='role `validator`, expected `generator`'):
        CheckpointData(checkpoint_folder, role='generator')


@pytest.mark.parametrize('change', [flip, lambda content: content[:-9], lambda content: b''])
def test_damaged_file_makes_no_checkpoint(checkpoint_folder, change):
    path = checkpoint_folder / WEIGHTS_NAME
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptFileError):
        CheckpointData(checkpoint_folder)


@pytest.mark.parametrize('change', [flip, lambda content: content[:-9]])
def test_checkpoint_damaged_in_the_repository_is_refused(checkpoint_folder, change, tmp_path_factory):
    node = CheckpointData(checkpoint_folder).store()
    damage(node, WEIGHTS_NAME, change)
    with pytest.raises(CorruptFileError, match='damaged or was replaced'):
        _ = load_node(node.pk).weights
    out = tmp_path_factory.mktemp('out')
    with pytest.raises(CorruptFileError):
        load_node(node.pk).write(out)
    assert list(out.iterdir()) == []


def test_damaged_description_is_refused(checkpoint_folder):
    node = CheckpointData(checkpoint_folder).store()
    damage(node, CONFIG_NAME, lambda content: content[:-9])
    with pytest.raises(CorruptFileError, match=r'config\.json'):
        _ = load_node(node.pk).weights


def test_files_changed_between_construction_and_storing_are_refused(checkpoint_folder):
    node = CheckpointData(checkpoint_folder)
    node.base.repository.put_object_from_bytes(b'other', WEIGHTS_NAME)
    with pytest.raises(ValidationError, match='not a valid checkpoint'):
        node.store()


def test_attributes_that_differ_from_the_description_are_refused(checkpoint_folder):
    node = CheckpointData(checkpoint_folder)
    node.base.attributes.set('role', 'generator')
    with pytest.raises(ValidationError, match='differ'):
        node.store()


def test_empty_checkpoint_and_dataset_cannot_be_stored():
    for node in (CheckpointData(), DatasetData()):
        with pytest.raises(ValidationError, match='not a valid'):
            node.store()


def test_dataset_round_trip(labelled):
    node = DatasetData(labelled, level_tags=TAGS, formation_scheme='anchored').store()
    loaded = load_node(node.pk)
    expected, found = labelled.tagged(TAGS), loaded.labels()
    assert found.levels == tuple(Level(tag, Fidelity(name)) for name, tag in TAGS.items())
    for name, array in expected.to_arrays().items():
        np.testing.assert_array_equal(found.to_arrays()[name], array, err_msg=name)
    for rung in LADDER:
        np.testing.assert_array_equal(found.energies_of(rung), labelled.energies_of(rung), err_msg=rung.value)
    assert loaded.counts == {'PBE': 1, 'SCAN': 0, 'HSE06': 0, 'CCSD(T)': 1}
    assert len(loaded) == 1
    assert loaded.base.attributes.get('elements') == [1, 3]


def test_set_of_candidates_has_no_labels(rock_salt):
    node = DatasetData(StructureBatch.from_structures([rock_salt, rock_salt], ['a', 'b'])).store()
    assert not node.labelled
    assert len(node.structures()) == len(node) == 2
    with pytest.raises(InvalidInputError, match='without energies'):
        node.labels()


@pytest.mark.parametrize('arguments', [{}, {'level_tags': TAGS}, {'formation_scheme': 'anchored'}])
def test_energies_need_scheme_and_tags(labelled, arguments):
    with pytest.raises(InvalidInputError, match='formation_scheme and a level tag'):
        DatasetData(labelled, **arguments)


@pytest.mark.parametrize('change', [flip, lambda content: content[:-9]])
def test_damaged_dataset_is_refused(labelled, change):
    node = DatasetData(labelled, level_tags=TAGS, formation_scheme='anchored').store()
    damage(node, DatasetData.FILENAME, change)
    with pytest.raises(CorruptFileError, match='checksum'):
        load_node(node.pk).labels()


def test_replaced_file_is_refused_at_storing(labelled):
    node = DatasetData(labelled, level_tags=TAGS, formation_scheme='anchored')
    node.base.repository.put_object_from_bytes(json.dumps({}).encode(), DatasetData.FILENAME)
    with pytest.raises(ValidationError, match='not a valid dataset'):
        node.store()
