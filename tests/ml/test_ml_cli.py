"""The three commands end to end, and how they fail."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from toy_crystals import toy_structures

from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

TRAIN = {'dataset': 'dataset.npz', 'output': 'checkpoint'}
GENERATE = {
    'generator': 'generator',
    'descriptor': 'descriptor',
    'steps': 10,
    'requests': [{'mode': 'composition', 'composition': {'Li': 1, 'H': 1}, 'count': 4}],
}


@pytest.fixture
def folder(tmp_path, models):
    """Return a folder of its own with the data set and the three models."""
    shutil.copytree(models, tmp_path / 'run')
    return tmp_path / 'run'


def test_results_describe_the_run(models):
    results = json.loads((models / 'validator.json').read_text())
    assert results['format_version'] == 1
    assert (results['task'], results['status'], results['error']) == ('train', 'ok', None)
    assert {'python', 'torch', 'numpy', 'aiida_qagenai', 'device'} <= set(results['versions'])
    assert {'wall_seconds', 'cpu_seconds', 'training_seconds'} <= set(results['timings'])
    assert results['peak_memory_mb'] > 0
    assert all(isinstance(value, float) for value in results['metrics'].values())
    assert all(isinstance(curve, list) for curve in results['history'].values())
    assert results['num_labels'] == {'PBE': 32, 'SCAN': 7, 'HSE06': 7, 'CCSD(T)': 7}


@pytest.mark.parametrize('role', ['descriptor', 'generator', 'validator'])
def test_checkpoints_are_verified_and_describe_themselves(models, role):
    _, info = read_checkpoint(models / role, role)
    results = json.loads((models / f'{role}.json').read_text())
    assert info.sha256 == results['checkpoint_sha256']
    assert info.elements == ('H', 'Li')
    assert info.num_parameters == results['num_parameters'] > 1000
    assert info.parent_sha256 is None
    assert len(info.dataset_sha256) == 64
    assert not list(models.glob('*.partial'))


@pytest.mark.parametrize('role', ['descriptor', 'generator', 'validator'])
def test_the_same_training_gives_the_same_bits(folder, command, role):
    config = {**TRAIN, 'role': role, 'steps': 6}
    contents = []
    for _ in range(2):
        assert command(folder, 'train', config)[0] == 0
        contents.append([(folder / 'checkpoint' / name).read_bytes() for name in ('model.safetensors', 'config.json')])
    assert contents[0] == contents[1]


def test_another_seed_gives_other_weights(folder, command):
    weights = []
    for seed in (0, 1):
        assert command(folder, 'train', {**TRAIN, 'role': 'descriptor', 'steps': 2, 'seed': seed})[0] == 0
        weights.append((folder / 'checkpoint' / 'model.safetensors').read_bytes())
    assert weights[0] != weights[1]


def test_the_same_sampling_gives_the_same_bits(folder, command):
    contents = []
    for _ in range(2):
        assert command(folder, 'generate', GENERATE)[0] == 0
        contents.append((folder / 'candidates.npz').read_bytes())
    assert contents[0] == contents[1]


def test_predictions_are_independent_of_the_batch_size(folder, command):
    toy_structures(9, seed=3).save(folder / 'structures.npz')
    config = {'validator': 'validator', 'structures': 'structures.npz', 'dtype': 'float64'}
    energies = []
    for size in (2, 64):
        assert command(folder, 'predict', {**config, 'batch_size': size})[0] == 0
        energies.append(load_arrays(folder / 'predictions.npz')['energies'])
    np.testing.assert_allclose(energies[0], energies[1], atol=1e-12)


def test_predictions_have_the_documented_arrays(folder, command):
    structures = toy_structures(5, seed=3)
    structures.save(folder / 'structures.npz')
    status, results = command(folder, 'predict', {'validator': 'validator', 'structures': 'structures.npz'})
    assert status == 0
    assert results['num_structures'] == 5
    arrays = load_arrays(folder / 'predictions.npz')
    assert arrays['identifiers'].tolist() == structures.identifiers.tolist()
    assert arrays['energies'].shape == arrays['sigma'].shape == (5, 4)
    assert (arrays['sigma'] > 0).all()
    assert arrays['features'].shape[0] == 5
    for name in ('divergence_signed', 'divergence_sigma', 'out_of_distribution', 'distance_to_training'):
        assert arrays[name].shape == (5,)
    np.testing.assert_allclose(
        arrays['divergence_signed'], arrays['energies'][:, 0] - arrays['energies'][:, 3], atol=1e-6
    )


def test_no_structures_give_empty_predictions(folder, command):
    StructureBatch.empty().save(folder / 'structures.npz')
    status, _ = command(folder, 'predict', {'validator': 'validator', 'structures': 'structures.npz'})
    assert status == 0
    assert load_arrays(folder / 'predictions.npz')['energies'].shape == (0, 4)


@pytest.mark.parametrize('role', ['descriptor', 'generator', 'validator'])
def test_training_continues_from_a_checkpoint(folder, command, role):
    config = {**TRAIN, 'role': role, 'steps': 4, 'initial_checkpoint': role, 'learning_rate': 1e-6}
    if role == 'validator':
        config['options'] = {'num_members': 3}
    status, results = command(folder, 'train', config)
    assert status == 0, results['error']
    _, parent = read_checkpoint(folder / role)
    _, child = read_checkpoint(folder / 'checkpoint', role)
    assert child.parent_sha256 == parent.sha256
    assert child.sha256 != parent.sha256
    # With a vanishing learning rate the child is the parent, not a fresh network.
    for name in [key for key in parent.metrics if key.startswith('train_') and 'loss' not in key]:
        assert child.metrics[name] == pytest.approx(parent.metrics[name], rel=0.05, abs=2e-3)


@pytest.mark.parametrize('role', ['descriptor', 'generator', 'validator'])
def test_the_base_size_trains_and_comes_back(folder, command, role):
    config = {**TRAIN, 'role': role, 'size': 'base', 'steps': 4, 'batch_size': 2}
    if role == 'validator':
        config['options'] = {'num_members': 2}
    status, results = command(folder, 'train', config)
    assert status == 0, results['error']
    assert results['num_parameters'] > 100_000
    use = {
        'descriptor': ('generate', {**GENERATE, 'steps': 2, 'descriptor': 'checkpoint'}),
        'generator': ('generate', {**GENERATE, 'steps': 2, 'generator': 'checkpoint'}),
        'validator': ('predict', {'validator': 'checkpoint', 'structures': 'dataset.npz'}),
    }
    status, results = command(folder, *use[role])
    assert status == 0, results['error']


@pytest.mark.parametrize(
    'case',
    [
        ('train', {**TRAIN, 'role': 'validator', 'initial_checkpoint': 'generator'}, 'role'),
        ('train', {**TRAIN, 'role': 'descriptor', 'size': 'base', 'initial_checkpoint': 'descriptor'}, 'phi-q-tiny'),
        ('train', {**TRAIN, 'role': 'descriptor', 'dataset': 'nowhere.npz'}, 'nowhere.npz'),
        ('generate', {**GENERATE, 'generator': 'validator'}, 'role'),
        (
            'generate',
            {
                **GENERATE,
                'requests': [{'mode': 'chemical_system', 'elements': ['Li', 'O'], 'max_atoms': 4, 'count': 1}],
            },
            'not trained on O',
        ),
        (
            'generate',
            {**GENERATE, 'requests': [{'mode': 'composition', 'composition': {'Xx': 1}, 'count': 1}]},
            'Xx',
        ),
        ('predict', {'validator': 'validator', 'structures': 'dataset.npz', 'device': 'cuda'}, 'cuda'),
    ],
)
def test_wrong_inputs_fail_with_a_clear_message(folder, command, monkeypatch, case):
    task, config, fragment = case
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    status, results = command(folder, task, config)
    assert status != 0
    assert results['status'] == 'failed'
    assert results['error']['kind'] == 'invalid_input'
    assert fragment in results['error']['message']


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json'])
def test_damaged_checkpoints_are_refused(folder, command, name):
    path = folder / 'validator' / name
    path.write_bytes(path.read_bytes()[:-50])
    status, results = command(folder, 'predict', {'validator': 'validator', 'structures': 'dataset.npz'})
    assert status != 0
    assert results['error']['kind'] == 'corrupt_file'
    assert not (folder / 'predictions.npz').exists()


def test_a_truncated_data_set_is_refused(folder, command):
    path = folder / 'dataset.npz'
    path.write_bytes(path.read_bytes()[:400])
    status, results = command(folder, 'train', {**TRAIN, 'role': 'descriptor'})
    assert (status != 0, results['error']['kind']) == (True, 'corrupt_file')


@pytest.mark.filterwarnings('ignore:overflow')
def test_a_diverging_training_writes_no_checkpoint(folder, command):
    data = LabelledBatch.load(folder / 'dataset.npz').to_arrays()
    huge = {**data, 'energies': data['energies'] * 1e300}
    LabelledBatch.from_arrays(huge).save(folder / 'dataset.npz')
    status, results = command(folder, 'train', {**TRAIN, 'role': 'validator', 'steps': 8})
    assert (status != 0, results['error']['kind']) == (True, 'non_finite')
    assert not (folder / 'checkpoint').exists()


def test_new_elements_ask_for_a_fresh_training(folder, command):
    data = LabelledBatch.load(folder / 'dataset.npz').to_arrays()
    data['species'] = np.where(data['species'] == 3, 11, data['species'])
    LabelledBatch.from_arrays(data).save(folder / 'dataset.npz')
    config = {**TRAIN, 'role': 'validator', 'initial_checkpoint': 'validator', 'options': {'num_members': 3}}
    status, results = command(folder, 'train', config)
    assert status != 0
    assert 'Na' in results['error']['message']


def test_generation_loads_neither_aiida_nor_pymatgen(folder):
    (folder / 'config.json').write_text(json.dumps(GENERATE))
    script = (
        'import sys; from aiida_qagenai.ml.cli import main; status = main(["generate", "--config", "config.json"]); '
        'print([n for n in ("aiida", "pymatgen", "e3nn", "scipy") if n in sys.modules], status)'
    )
    result = subprocess.run([sys.executable, '-c', script], cwd=folder, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == '[] 0'


def test_the_module_runs_as_a_program(folder):
    (folder / 'config.json').write_text(json.dumps({**GENERATE, 'steps': 0}))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', 'generate', '--config', 'config.json']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'invalid_input' in result.stderr
    assert json.loads((folder / 'results.json').read_text())['status'] == 'failed'
