"""What a generator trained for some seconds achieves on the made-up crystals."""

import numpy as np
import pytest
from toy_crystals import describe

from aiida_qagenai.common.descriptors import unpack
from aiida_qagenai.exchange.structures import StructureBatch

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
