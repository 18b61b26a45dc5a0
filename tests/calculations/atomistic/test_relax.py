"""Relaxations through the engine: the validator comes as a checkpoint."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.relax import RelaxCalculation
from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.data.dataset import DatasetData

TAGS = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')


@pytest.mark.slow
def test_relaxation_on_a_validator(ml_code, toy_labels):
    """The checkpoint travels with the job; a loose threshold is reached, and the outputs say on which weights."""
    dataset = DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored', scientific=False).store()
    parameters = orm.Dict({'role': 'validator', 'steps': 8, 'seed': 1, 'options': {'num_members': 2}})
    training = run_get_node(TrainCalculation, code=ml_code, dataset=dataset, parameters=parameters)[1]
    checkpoint = training.outputs.checkpoint
    structure = orm.StructureData(ase=bulk('LiH', 'rocksalt', a=4.08))
    settings = {'potential': {'name': 'validator'}, 'relaxation': {'max_stress': 10.0, 'max_force': 10.0}}
    inputs = {'code': ml_code, 'structure': structure, 'checkpoint': checkpoint}
    node = run_get_node(RelaxCalculation, **inputs, parameters=orm.Dict(settings))[1]
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.relaxed.get_formula() == 'HLi'
    sha256 = checkpoint.base.attributes.get('sha256')
    assert node.outputs.results['potential'] == f'validator:PBE:{sha256[:12]}'

    with pytest.raises(ValueError, match='does not cover Na'):
        other = {**inputs, 'structure': orm.StructureData(ase=bulk('NaH', 'rocksalt', a=4.8))}
        run_get_node(RelaxCalculation, **other, parameters=orm.Dict(settings))
    with pytest.raises(ValueError, match='does not take a checkpoint'):
        run_get_node(RelaxCalculation, **inputs, parameters=orm.Dict({'potential': {'name': 'emt'}}))
