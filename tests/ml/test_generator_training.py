"""What a generator trained for some seconds achieves on the made-up crystals."""

import numpy as np
import pytest
import torch
from toy_crystals import describe
from untrained import write_untrained_generator

from aiida_qagenai.common.descriptors import unpack
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.generator.network import Denoiser
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.ml.training.crystals import make_buckets
from aiida_qagenai.ml.training.generator import add_fields

pytestmark = pytest.mark.slow

SPECIES = np.array([3, 1])


@pytest.fixture(scope='module')
def trained(tmp_path_factory, dataset, command):
    """Return a folder with a trained generator, and the results of its training."""
    folder = tmp_path_factory.mktemp('generator')
    dataset.save(folder / 'dataset.npz')
    config = {'role': 'generator', 'dataset': 'dataset.npz', 'output': 'generator', 'steps': 400, 'batch_size': 48}
    status, results = command(folder, 'train', config)
    assert status == 0, results['error']
    return folder, results


@pytest.fixture
def sample(trained, command):
    """Return a function that samples LiH and returns the metrics and the structures."""
    folder, _ = trained

    def run(**options):
        request = {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 60}
        status, results = command(folder, 'generate', {'generator': 'generator', 'requests': [request], **options})
        assert status == 0, results['error']
        return results['metrics'], StructureBatch.load(folder / 'candidates.npz')

    return run


def volumes(structures):
    """Return the volume per atom of each structure."""
    return np.abs(np.linalg.det(structures.cells)) / structures.num_atoms


def test_losses_fall_and_are_measured_on_held_out_structures(trained):
    _, results = trained
    for name in ('lattice', 'coordinates'):
        curve = results['history'][f'loss_{name}']
        assert curve[-1] < 0.8 * curve[0]
        assert results['metrics'][f'validation_loss_{name}'] < curve[0]


def test_nearly_all_samples_are_valid_and_most_need_no_repair(sample):
    metrics, _ = sample()
    assert metrics['valid_fraction'] > 0.85
    assert metrics['projected_fraction'] < 0.2


def test_samples_are_as_dense_as_the_training_set(sample, dataset):
    _, structures = sample()
    is_lih = np.array([group == 'LiH' for group in dataset.groups])
    low, high = np.quantile(volumes(dataset.structures)[is_lih], [0.0, 1.0])
    inside = (volumes(structures) > 0.9 * low) & (volumes(structures) < 1.1 * high)
    assert inside.mean() > 0.9


def test_the_target_moves_the_samples_and_more_so_with_more_guidance(sample):
    shifts = []
    for guidance in (0.3, 1.0):
        means = []
        for volume in (8.0, 12.0):
            cell = np.eye(3) * (2 * volume) ** (1 / 3)
            target = unpack(describe(cell, SPECIES))
            means.append(volumes(sample(target=target, guidance_scale=guidance)[1]).mean())
        shifts.append(means[1] - means[0])
    assert 0.3 < shifts[0] < shifts[1]
    assert shifts[1] == pytest.approx(4.0, abs=1.5)


def test_a_generator_of_more_elements_keeps_them_and_learns_the_conditioning(tmp_path, dataset, models, command):
    """What was trained without descriptors begins unchanged, and is then conditioned on those of the new set."""
    elements = ('H', 'Li', 'O', 'Na')
    write_untrained_generator(tmp_path / 'parent', elements)
    parent, _ = load_checkpoint(tmp_path / 'parent', 'generator')
    dataset.save(tmp_path / 'dataset.npz')
    config = {'role': 'generator', 'dataset': 'dataset.npz', 'output': 'child', 'initial_checkpoint': 'parent'}
    status, results = command(tmp_path, 'train', {**config, 'steps': 60, 'batch_size': 32, 'learning_rate': 1e-3})
    assert status == 0, results['error']
    tensors, info = load_checkpoint(tmp_path / 'child', 'generator')
    assert info.elements == elements
    for name in ('features', 'lattice.mean', 'lattice.whiten'):
        assert torch.equal(tensors[name], parent[name])
    (tmp_path / 'descriptor').symlink_to(models / 'descriptor')
    cells = []
    for guidance in (0.0, 1.0):
        request = {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 4}
        options = {'generator': 'child', 'descriptor': 'descriptor', 'guidance_scale': guidance, 'steps': 10}
        status, results = command(tmp_path, 'generate', {'requests': [request], **options})
        assert status == 0 and not results['warnings'], results
        cells.append(StructureBatch.load(tmp_path / 'candidates.npz').cells)
    assert np.abs(cells[0] - cells[1]).max() > 1e-4


def test_a_generator_learns_to_attend_to_descriptors_and_keeps_to_it(tmp_path, dataset, command):
    """Cross-attention is added to what knows no descriptors; later trainings go on with it, and nothing is lost."""
    write_untrained_generator(tmp_path / 'parent', ('H', 'Li'))
    dataset.save(tmp_path / 'dataset.npz')
    config = {'role': 'generator', 'dataset': 'dataset.npz', 'steps': 20, 'batch_size': 16}
    attending = {'options': {'conditioning': 'cross-attention'}}
    status, results = command(
        tmp_path, 'train', {**config, **attending, 'initial_checkpoint': 'parent', 'output': 'child'}
    )
    assert status == 0, results['error']
    status, results = command(tmp_path, 'train', {**config, 'initial_checkpoint': 'child', 'output': 'grandchild'})
    assert status == 0, results['error']
    for name in ('child', 'grandchild'):
        tensors, info = load_checkpoint(tmp_path / name, 'generator')
        model = rebuild(Denoiser, tensors, info, torch.float32)
        assert model.attention is not None
        assert all((layer.out.weight != 0).any() for layer in model.attention.layers)
    asked = {'options': {'conditioning': 'concatenation'}, 'initial_checkpoint': 'child', 'output': 'other'}
    status, results = command(tmp_path, 'train', {**config, **asked})
    assert status == 1 and 'knows descriptors by cross-attention' in str(results['error'])
    request = {'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 4}
    cells = []
    for volume in (8.0, 12.0):
        target = unpack(describe(np.eye(3) * (2 * volume) ** (1 / 3), SPECIES))
        options = {'generator': 'child', 'requests': [request], 'target': target, 'steps': 10}
        status, results = command(tmp_path, 'generate', options)
        assert status == 0 and not results['warnings'], results
        cells.append(StructureBatch.load(tmp_path / 'candidates.npz').cells)
    assert np.abs(cells[0] - cells[1]).max() > 1e-4


def test_fields_that_are_new_to_a_generator_change_nothing_at_first(tmp_path, dataset):
    """Their columns are zero; fields that it was trained with keep their statistics."""
    write_untrained_generator(tmp_path / 'parent', ('H', 'Li'))
    tensors, info = load_checkpoint(tmp_path / 'parent', 'generator')
    model = rebuild(Denoiser, tensors, info, torch.float64)
    model.q_mean[2], model.q_deviation[2] = 0.5, 2.0
    weights = model.q_embedding.weight.clone()
    buckets = make_buckets(dataset, (1, 3), setup(RuntimeConfig(dtype='float64')))
    add_fields(model, buckets)
    labelled = np.isfinite(dataset.descriptors).any(0)
    assert (model.q_mean[2], model.q_deviation[2]) == (0.5, 2.0) and labelled[2]
    assert model.trained_fields.tolist() == labelled.tolist()
    new = torch.from_numpy(labelled)
    new[2] = False
    columns = torch.cat([new, new])
    assert (model.q_embedding.weight[:, columns] == 0).all()
    assert torch.equal(model.q_embedding.weight[:, ~columns], weights[:, ~columns])
