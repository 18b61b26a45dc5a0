"""Labelling through the engine: the level of theory goes with every array, failures are named, shards are reused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.label import LabelCalculation
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays


def inputs(code, crystals, **parameters):
    """Return the inputs of a labelling by EMT."""
    structures = DatasetData(StructureBatch.from_atoms(crystals))
    settings = {'potential': {'name': 'emt'}, 'shard_size': 1, **parameters}
    return {'code': code, 'structures': structures, 'parameters': orm.Dict(settings)}


def test_labels_become_a_node_with_their_level(ml_code):
    crystals = [bulk('Cu', a=3.7), bulk('NaCl', 'rocksalt', a=5.6), bulk('Al', cubic=True)]
    node = run_get_node(LabelCalculation, **inputs(ml_code, crystals))[1]
    assert node.is_finished_ok, node.exit_message
    labels = node.outputs.labels
    assert labels.base.attributes.get('level') == 'EMT' and labels.base.attributes.get('sha256') == ''
    assert np.isfinite(labels.get_array('energies')).tolist() == [True, False, True]
    assert labels.get_array('forces').shape == (7, 3) and labels.get_array('stresses').shape == (3, 3, 3)
    results = node.outputs.results
    assert results['num_labelled'] == 2 and results['failures'][0]['identifier'] == '1'


@pytest.mark.slow
def test_finished_shards_of_another_job_are_not_computed_again(ml_code):
    """A shard that does not hold what the potential gives shows that it was read."""
    crystals = [bulk('Cu', a=3.7), bulk('Al', cubic=True)]
    node = run_get_node(LabelCalculation, **inputs(ml_code, crystals))[1]
    energies = node.outputs.labels.get_array('energies')
    shards = sorted((Path(node.outputs.remote_folder.get_remote_path()) / 'shards').glob('*.npz'))
    assert len(shards) == 2
    arrays = load_arrays(shards[0])
    save_arrays(shards[0], {**arrays, 'energies': arrays['energies'] + 1.0})
    shards[1].unlink()
    settings = {'parent_folder': node.outputs.remote_folder, 'metadata': {'disable_cache': True}}
    again = run_get_node(LabelCalculation, **inputs(ml_code, crystals), **settings)[1]
    assert again.is_finished_ok, again.exit_message
    assert sorted(again.outputs.labels.get_array('energies') - energies) == pytest.approx([0.0, 1.0])


def test_nothing_labelled_is_an_error(ml_code):
    node = run_get_node(LabelCalculation, **inputs(ml_code, [bulk('NaCl', 'rocksalt', a=5.6)]))[1]
    assert node.exit_status == 530 and 'Na' in node.exit_message


def test_wrong_inputs_are_refused(ml_code):
    with pytest.raises(ValueError, match='shard_size'):
        run_get_node(LabelCalculation, **inputs(ml_code, [bulk('Cu')], shard_size=0))
    with pytest.raises(ValueError, match='needs a checkpoint'):
        run_get_node(LabelCalculation, **inputs(ml_code, [bulk('Cu')], potential={'name': 'validator'}))
