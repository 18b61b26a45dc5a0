"""What holds for all eight node types: immutable, hash-stable, cached, exported and imported without loss."""

from __future__ import annotations

import pytest
from aiida.common.exceptions import ModificationNotAllowed
from aiida.engine import calcfunction
from aiida.manage.caching import enable_caching
from aiida.orm import Data, Int, load_node
from aiida.orm.implementation.utils import clean_value
from aiida.plugins import DataFactory
from aiida.tools.archive import create_archive, import_archive

KINDS = ('candidate', 'entry', 'energy', 'prediction', 'assessment', 'checkpoint', 'dataset', 'trial')

each = pytest.mark.parametrize('kind', KINDS)


@calcfunction
def touch(node: Data) -> Int:
    """Read a node."""
    return Int(node.pk)


@calcfunction
def produce(trigger: Int, source: Data) -> Data:
    """Create a node that equals another one."""
    return source.clone()


@pytest.fixture(scope='module', autouse=True)
def profile(aiida_profile):
    """Empty the profile once for all tests of this module."""
    aiida_profile.reset_storage()


@each
def test_entry_point(make, kind):
    assert type(make(kind)) is DataFactory(f'qagenai.{kind}')


@each
def test_reloads_as_it_was_stored(make, kind):
    node = make(kind)
    expected = clean_value(node.base.attributes.all)
    loaded = load_node(node.store().pk)
    assert type(loaded) is type(node)
    assert loaded.base.attributes.all == expected


@each
def test_immutable_after_storing(make, kind):
    node = make(kind).store()
    with pytest.raises(ModificationNotAllowed):
        node.base.attributes.set('cycle', 99)
    with pytest.raises(ModificationNotAllowed):
        node.base.repository.put_object_from_bytes(b'', 'new')


@each
def test_same_content_same_hash(make, kind):
    first, second = make(kind).store(), make(kind).store()
    assert first.uuid != second.uuid
    assert first.base.caching.get_hash() == second.base.caching.get_hash() is not None
    assert load_node(first.pk).base.caching.compute_hash() == first.base.caching.get_hash()


@each
def test_other_content_other_hash(make, kind):
    assert make(kind).store().base.caching.get_hash() != make(kind, other=True).store().base.caching.get_hash()


@each
def test_cache_hit_with_an_equal_input(make, kind):
    first = touch.run_get_node(make(kind).store())[1]
    with enable_caching():
        second = touch.run_get_node(make(kind).store())[1]
        third = touch.run_get_node(make(kind, other=True).store())[1]
    assert second.base.caching.get_cache_source() == first.uuid
    assert second.outputs.result.value == first.outputs.result.value
    assert not third.base.caching.is_created_from_cache


@each
def test_cache_hit_clones_an_output(make, kind):
    """The clone of a stored node, whose floats AiiDA rounded to 14 digits, is still a valid node."""
    source = make(kind).store()
    trigger = Int(KINDS.index(kind)).store()
    first = produce.run_get_node(trigger, source)[1]
    with enable_caching():
        second = produce.run_get_node(trigger, source)[1]
    assert second.base.caching.get_cache_source() == first.uuid
    assert second.outputs.result.base.caching.get_hash() == source.base.caching.get_hash()


def test_export_and_import_without_loss(make, tmp_path, aiida_profile):
    nodes = {kind: make(kind).store() for kind in KINDS}
    before = {kind: content(node) for kind, node in nodes.items()}
    uuids = {kind: node.uuid for kind, node in nodes.items()}
    create_archive(list(nodes.values()), filename=tmp_path / 'nodes.aiida')
    aiida_profile.reset_storage()
    import_archive(tmp_path / 'nodes.aiida', create_group=False)
    for kind, uuid in uuids.items():
        assert content(load_node(uuid)) == before[kind], kind


def content(node):
    """Return type, attributes, files and hash of a node."""
    names = node.base.repository.list_object_names()
    files = {name: node.base.repository.get_object_content(name, mode='rb') for name in names}
    return type(node), node.base.attributes.all, files, node.base.caching.compute_hash()
