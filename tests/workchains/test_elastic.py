"""Elastic tensors through the engine: many crystals in one job, one that fails, and what can be searched."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.elastic import ElasticCalculation
from aiida_qagenai.calculations.models.tune_properties import TunePropertiesCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries.elasticity import elastic_tensors
from aiida_qagenai.workchains.elastic import ElasticWorkChain

CRYSTALS = {'cu': bulk('Cu'), 'ag': bulk('Ag'), 'salt': bulk('NaCl', 'rocksalt', a=5.6)}


@pytest.fixture
def build(python_code):
    code = python_code('atoms', 'qagenai.elastic')

    def create(structures=CRYSTALS, **arguments):
        return ElasticWorkChain.get_builder_from_protocol(
            code, structures, potential='emt', protocol='fast', **arguments
        )

    return create


@pytest.mark.slow
def test_one_that_fails_costs_itself_alone(build):
    """Three crystals in two jobs: two tensors and the reason of the third; a repeated run is cached."""
    builder = build(overrides={'max_crystals': 2})
    node = run_get_node(builder)[1]
    assert node.exit_status == ElasticWorkChain.exit_codes.WARNING_SOME_FAILED.status and 'salt' in node.exit_message
    copper, salt = node.outputs.elastic['cu'].content, node.outputs.elastic['salt'].content
    assert copper.formula == 'Cu' and copper.potential == 'emt' and copper.mechanically_stable
    assert copper.bulk_modulus_vrh == pytest.approx(134.5, abs=1)
    assert np.array(copper.tensor_ieee)[3, 3] == pytest.approx(90, abs=1)
    assert copper.structure_uuid == builder.structures['cu'].uuid and copper.num_strains == 3
    assert not salt.has_tensor and 'Na' in salt.reason and salt.chemical_system == 'Cl-Na'
    assert sorted(node.outputs.relaxed) == ['ag', 'cu']
    table = elastic_tensors(min_bulk_modulus=120)
    assert table['formula'].tolist() == ['Cu'] and elastic_tensors(chemical_system='Ag')['formula'].tolist() == ['Ag']
    assert len(elastic_tensors()) == 3 and len(elastic_tensors(mechanically_stable=True, max_bulk_modulus=120)) == 1
    jobs = orm.QueryBuilder().append(orm.CalcJobNode).count()
    assert jobs == 2
    with enable_caching():
        again = run_get_node(ElasticWorkChain, **node.get_builder_restart())[1]
    assert all(job.base.caching.is_created_from_cache for job in again.called)


@pytest.mark.slow
def test_heads_are_retrained_with_tensors(build, python_code):
    """The checkpoint descends from the tensors, a second one from the first; crystals without moduli are refused."""
    node = run_get_node(build({'cu': CRYSTALS['cu']}))[1]
    inputs = {
        'code': python_code('ml', 'qagenai.tune_properties'),
        'parameters': orm.Dict({'weight': 100.0}),
        'structures': {'cu': node.outputs.relaxed.cu},
        'elastic': {'cu': node.outputs.elastic.cu},
    }
    first = run_get_node(TunePropertiesCalculation, **inputs)[1]
    assert first.is_finished_ok, first.exit_message
    metrics = first.outputs.results['metrics']
    assert metrics['mape_after_bulk_modulus'] < max(metrics['mape_before_bulk_modulus'], 0.02)
    checkpoint = first.outputs.checkpoint
    assert checkpoint.role == 'property' and checkpoint.info.configuration['weight'] == 100.0
    again = run_get_node(TunePropertiesCalculation, **inputs, initial_checkpoint=checkpoint)[1]
    assert again.outputs.checkpoint.info.configuration['parent_sha256'] == checkpoint.info.sha256
    failed = run_get_node(build({'salt': CRYSTALS['salt']}))[1].outputs.elastic.salt
    with pytest.raises(ValueError, match='not one crystal has a modulus'):
        run_get_node(TunePropertiesCalculation, **{**inputs, 'elastic': {'cu': failed}})


@pytest.mark.slow
def test_all_that_fail_are_an_error(build):
    node = run_get_node(build({'salt': CRYSTALS['salt']}))[1]
    assert node.exit_status == ElasticWorkChain.exit_codes.ERROR_ALL_FAILED.status and 'Na' in node.exit_message
    assert not node.outputs.elastic.salt.content.has_tensor


def test_what_is_no_crystal_is_refused(build):
    with pytest.raises(InvalidInputError, match='no structures are given'):
        build({})
    with pytest.raises(InvalidInputError, match='`slab`: the structure Cu is not periodic'):
        build({'slab': orm.StructureData(ase=Atoms('Cu', cell=[3, 3, 9], pbc=(True, True, False)))})
    with pytest.raises(InvalidInputError, match='strains'):
        build(overrides={'elasticity': {'strains': [0.5]}})
    builder = build()
    parameters = orm.Dict({'potential': {'name': 'validator'}})
    with pytest.raises(ValueError, match='needs a checkpoint'):
        run_get_node(ElasticCalculation, code=builder.code, structures=builder.structures, parameters=parameters)
