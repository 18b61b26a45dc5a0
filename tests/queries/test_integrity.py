"""Our own check of the graph finds what was broken, and nothing in what bulk storage wrote."""

from __future__ import annotations

import io

import pytest
from aiida.common.links import LinkType
from aiida.manage import get_manager
from aiida.orm import Dict, Int, SinglefileData
from aiida.orm.entities import EntityTypes
from batch_processes import make_prediction, make_set

from aiida_qagenai.engine.bulk import link_inputs, store_outputs
from aiida_qagenai.queries.integrity import check_integrity


@pytest.fixture
def graph(running, candidates):
    """Return the nodes of a small cycle stored in bulk, by name."""
    generate, predict = running(), running()
    made = store_outputs(
        generate,
        {
            **candidates(3),
            'candidate_set': make_set(3),
            'note': SinglefileData(io.BytesIO(b'content that nothing else has'), filename='a.txt'),
        },
    )
    members = [node for label, node in made.items() if label.startswith('candidates')]
    link_inputs(predict, {f'members__c{index:05d}': node for index, node in enumerate(members)})
    labelled = {f'predictions__c{index:05d}': make_prediction(node.uuid, index) for index, node in enumerate(members)}
    predictions = store_outputs(predict, labelled)
    return {'generate': generate, 'predict': predict, 'made': made, 'predictions': predictions}


def faults(**options) -> list[tuple[str, int]]:
    """Return the checks that found something, and the nodes."""
    return [(fault.check, fault.pk) for fault in check_integrity(**options).faults]


def test_what_bulk_storage_wrote_is_whole(graph):
    report = check_integrity()
    assert report.faults == []
    assert report.checked == {
        'outputs': 5 + 3, 'inputs': 3, 'candidates': 3, 'processes': 2, 'files': 2, 'hashes': 5 + 3
    }  # fmt: skip


def test_maintenance_keeps_it_whole(graph):
    """`verdi storage maintain` packs the files and removes those that no node has."""
    get_manager().get_profile_storage().maintain(full=True)
    assert faults() == []
    assert graph['made']['note'].get_content() == 'content that nothing else has'


def test_changed_hash_is_found(graph):
    node = graph['made']['candidates__c00001']
    node.base.extras.set('_aiida_hash', 'f' * 64)
    assert faults() == [('hashes', node.pk)]
    assert faults(hashes=False) == []


def test_missing_file_is_found(graph):
    node = graph['made']['note']
    backend = get_manager().get_profile_storage().get_repository()
    backend.delete_objects([node.base.repository.metadata['o']['a.txt']['k']])
    assert ('files', node.pk) in faults(hashes=False)


def test_prediction_of_a_foreign_candidate_is_found(graph, running):
    process = running()
    link_inputs(process, {'members__c00000': graph['made']['candidates__c00000']})
    foreign = graph['made']['candidates__c00002']
    stored = store_outputs(process, {'predictions__c00000': make_prediction(foreign.uuid, 0)})
    assert faults() == [('candidates', stored['predictions__c00000'].pk)]


def test_open_process_that_has_ended_is_found(graph):
    graph['predict'].set_process_state('finished')
    graph['generate'].seal()
    assert faults() == [('processes', graph['generate'].pk), ('processes', graph['predict'].pk)]


def test_links_that_the_engine_would_refuse_are_found(graph, running):
    one, two, process = Int(1).store(), Dict({}).store(), running()
    rows = [
        {'input_id': source, 'output_id': target, 'type': kind.value, 'label': label}
        for source, target, kind, label in (
            (process.pk, one.pk, LinkType.CREATE, 'a'),
            (graph['generate'].pk, one.pk, LinkType.CREATE, 'number'),
            (one.pk, graph['predict'].pk, LinkType.INPUT_CALC, 'members__c00000'),
            (two.pk, graph['predict'].pk, LinkType.INPUT_CALC, 'members'),
        )
    ]
    get_manager().get_profile_storage().bulk_insert(EntityTypes.LINK, rows)
    found = check_integrity()
    assert [(fault.check, fault.pk) for fault in found.faults] == [
        ('outputs', one.pk),
        ('inputs', graph['predict'].pk),
        ('inputs', graph['predict'].pk),
    ]
