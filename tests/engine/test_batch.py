"""Batch calculations run through the engine: members linked, outputs stored and cloned in bulk."""

from __future__ import annotations

import pytest
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.orm import Dict, Int, QueryBuilder, load_node
from batch_processes import GenerateToy, PredictToy, count_members, make_candidates, make_set

from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine.batch import members_of
from aiida_qagenai.engine.bulk import linked_uuids, store_outputs


def generate(code, n: int = 3):
    """Run the toy generator and return its node."""
    node = run_get_node(GenerateToy, code=code, parameters=Dict({'n': n}))[1]
    assert node.is_finished_ok, node.exit_message
    return node


def predict(code, candidate_set, **inputs):
    """Run the toy predictor and return its outputs and node."""
    outputs, node = run_get_node(PredictToy, code=code, parameters=Dict({}), candidate_set=candidate_set, **inputs)
    assert node.is_finished_ok, node.exit_message
    return outputs, node


def test_engine_sees_bulk_outputs(batch_codes):
    node = generate(batch_codes)
    assert sorted(node.outputs.candidates) == ['c00000', 'c00001', 'c00002']
    assert QueryBuilder().append(CandidateData).count() == 3
    assert len(node.base.links.get_outgoing().all()) == 3 + 3  # remote folder, retrieved folder, set


def test_members_are_linked_and_found(batch_codes):
    source = generate(batch_codes)
    _, node = predict(batch_codes, source.outputs.candidate_set)
    assert {label: member.uuid for label, member in node.inputs.members.items()} == {
        label: candidate.uuid for label, candidate in source.outputs.candidates.items()
    }
    for label, prediction in node.outputs.predictions.items():
        assert prediction.content.candidate_uuid == node.inputs.members[label].uuid


def test_process_hash_counts_members(batch_codes):
    _, node = predict(batch_codes, generate(batch_codes).outputs.candidate_set)
    loaded = load_node(node.pk)
    assert 'members__c00000' in loaded.base.caching.get_objects_to_hash()['inputs']
    assert loaded.base.caching.compute_hash() == loaded.base.caching.get_hash()


def test_cache_hit_clones_outputs(batch_codes):
    first = generate(batch_codes)
    with enable_caching(identifier='*toy*'):
        second = generate(batch_codes)
    assert second.base.caching.get_cache_source() == first.uuid
    assert sorted(second.outputs) == sorted(first.outputs)
    for label, candidate in second.outputs.candidates.items():
        original = first.outputs.candidates[label]
        assert candidate.uuid != original.uuid
        assert candidate.base.attributes.all == original.base.attributes.all
        assert candidate.base.caching.get_hash() == candidate.base.caching.compute_hash()
    assert second.outputs.candidate_set.structures().identifiers.tolist() == ['001-00000', '001-00001', '001-00002']
    assert sorted(second.outputs.retrieved.base.repository.list_object_names()) == sorted(
        first.outputs.retrieved.base.repository.list_object_names()
    )


def test_cached_predictions_name_the_candidates_of_their_own_process(batch_codes):
    first = generate(batch_codes)
    predict(batch_codes, first.outputs.candidate_set)
    with enable_caching(identifier='*toy*'):
        second = generate(batch_codes)
        outputs, node = predict(batch_codes, second.outputs.candidate_set)
    assert node.base.caching.is_created_from_cache
    assert sorted(outputs['predictions']) == ['c00000', 'c00001', 'c00002']
    for label, prediction in node.outputs.predictions.items():
        assert prediction.content.candidate_uuid == second.outputs.candidates[label].uuid
        assert prediction.base.caching.get_hash() == prediction.base.caching.compute_hash()
    assert linked_uuids(node, namespace='members') == {
        label: candidate.uuid for label, candidate in second.outputs.candidates.items()
    }


def test_restart_builder_runs(batch_codes):
    _, node = predict(batch_codes, generate(batch_codes).outputs.candidate_set)
    builder = node.get_builder_restart()
    assert sorted(builder.members) == ['c00000', 'c00001', 'c00002']
    again = run_get_node(builder)[1]
    assert again.is_finished_ok
    assert linked_uuids(again) == linked_uuids(node)


def test_members_of_another_set_are_refused(batch_codes):
    source = generate(batch_codes)
    other = generate(batch_codes).outputs.candidates
    before = QueryBuilder().append(PredictionData).count()
    with pytest.raises(ValueError, match='not the members'):
        predict(batch_codes, source.outputs.candidate_set, members=dict(other))
    assert QueryBuilder().append(PredictionData).count() == before


def test_set_without_creator_is_refused(batch_codes):
    with pytest.raises(ValueError, match='has no members'):
        predict(batch_codes, make_set(2).store())


def test_set_that_packs_another_number_is_refused(running):
    stored = store_outputs(running(), {**make_candidates(2), 'candidate_set': make_set(3), 'other': Int(1)})
    with pytest.raises(ValueError, match='packs 3 structures, its process created 2'):
        members_of(stored['candidate_set'])


def test_members_are_in_order(running):
    stored = store_outputs(running('function'), {**make_candidates(3), 'candidate_set': make_set(3)})
    members = members_of(stored['candidate_set'])
    assert list(members) == ['c00000', 'c00001', 'c00002']
    assert [member.pk for member in members.values()] == [stored[f'candidates__{label}'].pk for label in members]


def test_function_with_bulk_inputs(running):
    stored = store_outputs(running('function'), make_candidates(3))
    members = {label.split('__')[1]: node for label, node in stored.items()}
    parameters = Dict({'offset': 10}).store()
    result, node = count_members.run_get_node(parameters=parameters, candidates=members, predictions={})
    assert result.value == 13
    assert linked_uuids(node, namespace='candidates') == {label: item.uuid for label, item in members.items()}
    assert set(node.inputs) == {'parameters', 'candidates'}
    loaded = load_node(node.pk)
    assert loaded.base.caching.compute_hash() == loaded.base.caching.get_hash()


def test_function_with_bulk_inputs_is_cached_by_their_content(running):
    first, equal = (store_outputs(running(), make_candidates(2)) for _ in range(2))
    other = store_outputs(running(), make_candidates(2, cycle=2))
    nodes = []
    with enable_caching(identifier='*count_members*'):
        for stored in (first, equal, other):
            members = {label.split('__')[1]: node for label, node in stored.items()}
            nodes.append(count_members.run_get_node(parameters=Dict({'offset': 0}), candidates=members)[1])
    assert nodes[1].base.caching.get_cache_source() == nodes[0].uuid
    assert nodes[1].outputs.result.value == 2
    assert linked_uuids(nodes[1], namespace='candidates')['c00000'] == equal['candidates__c00000'].uuid
    assert nodes[2].base.caching.get_cache_source() is None


def test_function_refuses_unstored_members(aiida_profile_clean):
    with pytest.raises(ValueError, match='`candidates__a` has to be stored'):
        count_members(parameters=Dict({'offset': 0}), candidates={'a': Int(1)})
