"""Nodes stored in bulk cannot be told from nodes that the engine stored."""

from __future__ import annotations

import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.common.links import LinkType
from aiida.orm import CalcJobNode, Data, Dict, Int, Node, QueryBuilder, SinglefileData, load_node

from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.engine import bulk, rows
from aiida_qagenai.engine.bulk import link_inputs, linked_uuids, store_outputs


def count(cls: type = Node) -> int:
    """Return the number of stored nodes of a class."""
    return QueryBuilder().append(cls).count()


@pytest.mark.parametrize('kind', ['job', 'function'])
def test_returns_stored_nodes_in_order(running, candidates, kind):
    nodes = dict(reversed(candidates(4).items()))
    uuids = {label: node.uuid for label, node in nodes.items()}
    stored = store_outputs(running(kind), nodes)
    assert list(stored) == list(nodes)
    assert {label: node.uuid for label, node in stored.items()} == uuids
    assert all(node.is_stored and isinstance(node, CandidateData) for node in stored.values())


def test_hash_is_what_aiida_computes(running, candidates):
    for node in store_outputs(running(), candidates(3)).values():
        loaded = load_node(node.pk)
        assert loaded.base.caching.get_hash() == loaded.base.caching.compute_hash() is not None


def test_equals_plain_storage(running, candidates):
    """Same attributes, hash, extras, user, computer, repository and link as a node that AiiDA stored."""
    label, plain = next(iter(candidates(1).items()))
    process = running()
    plain.base.links.add_incoming(process, LinkType.CREATE, label)
    plain.store()
    ours = store_outputs(running(), candidates(1))[label]
    for name in ('attributes', 'extras'):
        assert getattr(ours.base, name).all == getattr(plain.base, name).all
    for name in ('user', 'computer', 'label', 'description', 'node_type', 'process_type'):
        assert getattr(ours, name) == getattr(plain, name)
    assert ours.base.repository.metadata == plain.base.repository.metadata
    assert ours.creator.uuid != plain.creator.uuid
    assert abs((ours.mtime - plain.mtime).total_seconds()) < 60
    assert ours.ctime <= ours.mtime


def test_outputs_are_found_by_attribute_access(running, candidates):
    process = running()
    store_outputs(process, candidates(3))
    loaded = load_node(process.pk)
    assert loaded.outputs.candidates.c00002.index == 2
    assert sorted(loaded.outputs.candidates) == ['c00000', 'c00001', 'c00002']


def test_joins_work_both_ways(running, candidates):
    process = running()
    store_outputs(process, candidates(3))
    down = QueryBuilder().append(CalcJobNode, filters={'id': process.pk}, tag='p')
    down.append(CandidateData, with_incoming='p', filters={'attributes.index': {'>': 0}}, project='attributes.index')
    assert sorted(down.all(flat=True)) == [1, 2]
    up = QueryBuilder().append(CandidateData, filters={'attributes.index': 1}, tag='c')
    up.append(CalcJobNode, with_outgoing='c', project='uuid')
    assert up.all(flat=True) == [process.uuid]


def test_files_are_stored(running):
    content = b'kept'
    import io

    stored = store_outputs(running(), {'note': SinglefileData(io.BytesIO(content), filename='a.txt')})['note']
    assert load_node(stored.pk).get_content(mode='rb') == content
    assert stored.base.caching.get_hash() == load_node(stored.pk).base.caching.compute_hash()


def test_extras_and_label_are_kept(running):
    node = Int(1, label='one', description='a number', extras={'flag': True})
    stored = store_outputs(running(), {'one': node})['one']
    assert (stored.label, stored.description, stored.base.extras.get('flag')) == ('one', 'a number', True)


def test_again_adds_nothing(running, candidates):
    process = running()
    first = store_outputs(process, candidates(3))
    nodes, links = count(), len(process.base.links.get_outgoing().all())
    again = store_outputs(process, candidates(3))
    assert {label: node.pk for label, node in again.items()} == {label: node.pk for label, node in first.items()}
    assert (count(), len(process.base.links.get_outgoing().all())) == (nodes, links)


def test_resumes_after_an_interruption(running, candidates, monkeypatch):
    """A batch of several transactions that stops between two of them is completed by the next call."""
    process, batch = running(), candidates(5)
    monkeypatch.setattr(rows, 'CHUNK_SIZE', 2)
    insert, calls = bulk.insert_rows, []

    def fail_at_the_links_of_the_second_chunk(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return insert(*args)

    monkeypatch.setattr(bulk, 'insert_rows', fail_at_the_links_of_the_second_chunk)
    with pytest.raises(KeyboardInterrupt):
        store_outputs(process, batch)
    assert count(CandidateData) == 2  # the second transaction stored nodes but no links: rolled back
    monkeypatch.setattr(bulk, 'insert_rows', insert)
    assert len(store_outputs(process, candidates(5))) == 5
    assert count(CandidateData) == 5
    assert len(linked_uuids(process, LinkType.CREATE)) == 5


def test_sealed_process_is_refused(running, candidates):
    process = running().seal()
    with pytest.raises(ModificationNotAllowed, match='sealed'):
        store_outputs(process, candidates(1))
    assert count(CandidateData) == 0


def test_unstored_process_is_refused(aiida_profile_clean, candidates):
    with pytest.raises(ValueError, match='stored first'):
        store_outputs(CalcJobNode(), candidates(1))


def test_workflow_is_refused(aiida_profile_clean, candidates):
    from aiida.orm import WorkChainNode

    with pytest.raises(TypeError, match='calculations'):
        store_outputs(WorkChainNode().store(), candidates(1))


@pytest.mark.parametrize('label', ['a-b', '_a', 'a_', '1a', 'a.b', 'a____b', '', 'ü'])
def test_invalid_label_is_refused(running, candidates, label):
    with pytest.raises(ValueError, match='invalid link label'):
        store_outputs(running(), {**candidates(2), label: Int(1)})
    assert count(Data) == 0


def test_label_within_the_namespace_of_a_node_is_refused(running):
    with pytest.raises(ValueError, match='already the label of a node'):
        store_outputs(running(), {'a': Int(1), 'a__b': Int(2)})
    process = running()
    store_outputs(process, {'a__b': Int(2)})
    with pytest.raises(ValueError, match='already the label of a node'):
        store_outputs(process, {'a': Int(1)})


def test_invalid_node_is_refused_and_nothing_stored(running, candidates):
    batch = {**candidates(3), 'candidates__c00003': CandidateData()}
    with pytest.raises(ValidationError, match='candidates__c00003'):
        store_outputs(running(), batch)
    assert count(Data) == 0


def test_value_that_is_no_json_is_refused_and_nothing_stored(running, candidates):
    with pytest.raises(ValidationError, match='`bad`'):
        store_outputs(running(), {**candidates(2), 'bad': Dict({'x': float('nan')})})
    assert count(Data) == 0


def test_stored_node_is_refused(running):
    with pytest.raises(ValueError, match='already stored'):
        store_outputs(running(), {'a': Int(1).store()})


def test_node_given_twice_is_refused(running):
    node = Int(1)
    with pytest.raises(ValueError, match='same node'):
        store_outputs(running(), {'a': node, 'b': node})


def test_node_with_a_link_is_refused(running):
    node = Int(1)
    node.base.links.add_incoming(running(), LinkType.CREATE, 'a')
    with pytest.raises(ValueError, match='incoming links'):
        store_outputs(running(), {'a': node})


def test_value_that_is_no_node_is_refused(running):
    with pytest.raises(TypeError, match='`a`'):
        store_outputs(running(), {'a': 1})


def test_links_inputs(running, candidates):
    members = store_outputs(running(), candidates(3))
    process = running()
    link_inputs(process, {f'members__c{i:05d}': node for i, node in enumerate(members.values())})
    assert [node.index for _, node in sorted(load_node(process.pk).inputs.members.items())] == [0, 1, 2]
    assert linked_uuids(process, namespace='members') == {
        f'c{i:05d}': node.uuid for i, node in enumerate(members.values())
    }


def test_linking_again_adds_nothing_and_conflicts_are_refused(running):
    one, two, process = Int(1).store(), Int(2).store(), running()
    for _ in range(2):
        link_inputs(process, {'a': one, 'b': two.pk})
    assert len(process.base.links.get_incoming().all()) == 2
    with pytest.raises(ValueError, match='another input'):
        link_inputs(process, {'a': two})


def test_inputs_that_are_wrong_are_refused(running):
    process = running()
    own = store_outputs(process, {'a': Int(1)})['a']
    with pytest.raises(ValueError, match='cycle'):
        link_inputs(process, {'a': own})
    with pytest.raises(ValueError, match='not stored'):
        link_inputs(process, {'a': Int(1)})
    with pytest.raises(ValueError, match='not stored data nodes'):
        link_inputs(process, {'a': 10**6})
    with pytest.raises(ValueError, match='not stored data nodes'):
        link_inputs(process, {'a': process.pk})
    with pytest.raises(ModificationNotAllowed):
        link_inputs(running().seal(), {'a': own})
    assert not process.base.links.get_incoming().all()


def test_outputs_are_loaded_with_their_keys(running, candidates):
    """Asking a thousand nodes for their keys asks the database nothing, see ``_keep_loaded``."""
    from sqlalchemy import event

    process = running()
    stored = store_outputs(process, candidates(3))
    session, statements = process.backend.get_session(), []
    event.listen(session.bind, 'before_cursor_execute', lambda *args: statements.append(args[2]))
    assert len({node.pk for node in stored.values()}) == 3
    assert all(node.is_stored for node in stored.values())
    assert statements == []
    assert session.expire_on_commit


def test_unstored_nodes_are_not_flushed(running, candidates, recwarn):
    """SQLAlchemy warns of every node that hangs on the user when it flushes: they are taken off that list before."""
    store_outputs(running(), candidates(3))
    assert [str(warning.message) for warning in recwarn if 'not in session' in str(warning.message)] == []
