"""The jobs of the GPU side through the engine: real training, sampling and prediction at the smallest size."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from fake_campaign import make_checkpoint
from pymatgen.core import Lattice, Structure
from untrained import write_untrained_generator

from aiida_qagenai.calculations.models.generate import GenerateCalculation
from aiida_qagenai.calculations.models.predict import PredictCalculation
from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch

TAGS = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')


@pytest.fixture
def dataset(aiida_profile_clean, toy_labels):
    """Return the toy training set as a node."""
    return DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored', scientific=False).store()


@pytest.fixture
def train(ml_code, dataset):
    """Return a function that trains a model of a role and returns its calculation."""

    def run(role: str, steps: int = 8, **inputs):
        parameters = orm.Dict({'role': role, 'steps': steps, 'seed': 1})
        return run_get_node(TrainCalculation, code=ml_code, dataset=dataset, parameters=parameters, **inputs)[1]

    return run


def generate_inputs(code, generator, **parameters):
    """Return the inputs of a small generation."""
    requests = [
        {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 5},
        {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'max_atoms': 3, 'count': 3},
    ]
    return {
        'code': code,
        'generator': generator,
        'cycle': orm.Int(2),
        'parameters': orm.Dict({'requests': requests, 'steps': 10, 'seed': 4, **parameters}),
    }


@pytest.mark.slow
def test_train_generate_predict(train, ml_code, dataset):
    """A generator proposes candidates, and a validator predicts each of them, linked to it by its label."""
    generator = train('generator').outputs.checkpoint
    generation = run_get_node(GenerateCalculation, **generate_inputs(ml_code, generator))[1]
    assert generation.is_finished_ok, generation.exit_message
    candidates = generation.outputs.candidates
    assert sorted(candidates) == [f'c{index:05d}' for index in range(8)]
    assert [candidates[f'c{index:05d}'].formula for index in range(5)] == ['LiH'] * 5
    assert generation.outputs.candidate_set.structures().identifiers.tolist()[-1] == '002-00007'

    prediction = run_get_node(
        PredictCalculation,
        code=ml_code,
        validator=train('validator').outputs.checkpoint,
        candidate_set=generation.outputs.candidate_set,
        competing=dataset,
        parameters=orm.Dict({'seed': 1}),
    )[1]
    assert prediction.is_finished_ok, prediction.exit_message
    for label in sorted(candidates):
        assert prediction.outputs.predictions[label].content.candidate_uuid == candidates[label].uuid
        assert prediction.inputs.members[label].uuid == candidates[label].uuid
    assert prediction.outputs.arrays.get_array('competing_energies').shape == (len(dataset), 4)
    assert np.isfinite(prediction.outputs.arrays.get_array('features')).all()


def test_candidates_of_motifs_know_where_they_came_from(ml_code, aiida_profile_clean, tmp_path):
    """The library of the package and crystals of the user are motifs; their names stand in the candidates."""
    write_untrained_generator(tmp_path / 'generator', ('H', 'Li'))
    generator = CheckpointData(tmp_path / 'generator').store()
    own = Structure.from_spacegroup('Pm-3m', Lattice.cubic(3.1), ['Xe', 'He'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    motifs = DatasetData(StructureBatch.from_structures([own], ['own crystal'])).store()
    request = {'mode': 'motifs', 'formula': 'LiH', 'only_library': True, 'novelty': 0.1, 'count': 2}
    start = {'mode': 'motifs', 'formula': 'LiH', 'max_atoms': 2, 'exclude': ['LiH'], 'count': 1}
    inputs = generate_inputs(ml_code, generator, requests=[request, start])
    generation = run_get_node(GenerateCalculation, motifs=motifs, **inputs)[1]
    assert generation.is_finished_ok, generation.exit_message
    [first, _, third] = [generation.outputs.candidates[f'c{index:05d}'].base.attributes.all for index in range(3)]
    assert (first['motif'], first['motif_formula'], first['noise']) == ('own crystal', 'XeHe', 0.1)
    assert first['space_group_number'] == 221 and first['relation'] == 'substitution'
    assert third['motif'].startswith('mp-') and third['noise'] == 0 and third['relation'] in {'replay', 'substitution'}
    assert 0 < third['motif_probability'] <= 1


def test_geometric_constraints_and_their_trajectories_are_stored(ml_code, aiida_profile_clean, tmp_path):
    """The values, losses and trajectories of ordered candidates stand in the order of the candidates."""
    write_untrained_generator(tmp_path / 'generator', ('H', 'Li'))
    generator = CheckpointData(tmp_path / 'generator').store()
    geometry = {'constraints': ['volume_per_atom=9±5%', 'min_distance(H,H)>=2']}
    requests = [{'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 3}]
    inputs = generate_inputs(ml_code, generator, requests=requests, geometry=geometry)
    generation = run_get_node(GenerateCalculation, **inputs)[1]
    assert generation.is_finished_ok, generation.exit_message
    stored = generation.outputs.geometry
    assert stored.base.attributes.get('constraints') == ['volume_per_atom=8.55..9.45', 'min_distance(H,H)>=2']
    assert stored.get_array('trajectories').shape == (3, 10, 2)
    volumes = [c.get_cell_volume() / len(c.sites) for c in generation.outputs.candidates.values()]
    np.testing.assert_allclose(stored.get_array('values')[:, 0], volumes)
    assert generation.outputs.results['geometry']['num_satisfied_all'] == stored.get_array('satisfied').all(1).sum()


def test_absent_species_of_a_constraint_are_refused(ml_code):
    generator = make_checkpoint('generator', elements=('H', 'Li')).store()
    inputs = generate_inputs(ml_code, generator, geometry={'constraints': ['coordination(Si,H)=4']})
    with pytest.raises(ValueError, match='needs Si, but request 0 has only H, Li'):
        run_get_node(GenerateCalculation, **inputs)


def test_structures_to_start_from_have_to_be_given(ml_code):
    generator = make_checkpoint('generator', elements=('H', 'Li')).store()
    inputs = generate_inputs(ml_code, generator, requests=[{'mode': 'structures'}])
    with pytest.raises(ValueError, match='request 0 starts from structures: give them as `motifs`'):
        run_get_node(GenerateCalculation, **inputs)


@pytest.mark.slow
def test_fine_tuning_keeps_the_lineage(train):
    """A tuned checkpoint names the weights it came from and the set it was trained on."""
    first = train('descriptor')
    tuned = train('descriptor', initial_checkpoint=first.outputs.checkpoint)
    content = tuned.outputs.checkpoint.base.attributes.all
    assert content['parent_sha256'] == first.outputs.checkpoint.base.attributes.get('sha256')
    assert content['dataset_hash'] == tuned.inputs.dataset.base.attributes.get('content_hash')


@pytest.mark.slow
def test_a_repeated_training_comes_from_the_cache(train):
    """Same inputs, same hash: the second training costs nothing."""
    first = train('descriptor')
    with enable_caching():
        second = train('descriptor')
    assert second.base.caching.get_cache_source() == first.uuid


def test_wrong_role_of_a_checkpoint_is_refused_before_anything_runs(ml_code):
    """A descriptor model cannot generate."""
    descriptor = make_checkpoint('descriptor', elements=('H', 'Li')).store()
    with pytest.raises(ValueError, match='this checkpoint has the role `descriptor`, expected a generator'):
        run_get_node(GenerateCalculation, **generate_inputs(ml_code, descriptor))


def test_unseen_element_is_refused_before_anything_runs(ml_code):
    """The generator knows the elements of its training set only."""
    inputs = generate_inputs(ml_code, make_checkpoint('generator', elements=('H', 'Li')).store())
    inputs['parameters'] = orm.Dict({'requests': [{'mode': 'composition', 'composition': {'Na': 1}, 'count': 1}]})
    with pytest.raises(ValueError, match='was not trained on Na'):
        run_get_node(GenerateCalculation, **inputs)


def test_set_without_energies_cannot_train(ml_code, toy_labels, aiida_profile_clean):
    """Candidates are no training set."""
    unlabelled = DatasetData(toy_labels.structures)
    with pytest.raises(ValueError, match='holds no energies'):
        run_get_node(TrainCalculation, code=ml_code, dataset=unlabelled, parameters=orm.Dict({'role': 'generator'}))
