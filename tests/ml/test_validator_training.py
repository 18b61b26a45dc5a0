"""What training the validator achieves on the made-up energies."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_crystals import toy_dataset, toy_structures

from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.exchange.tasks import ValidatorTraining
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.training.references import initialise
from aiida_qagenai.ml.training.stages import MemberData, stage_steps, train_member, trainable_groups
from aiida_qagenai.ml.validator.calibration import PRIOR_DEGREES
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs
from aiida_qagenai.ml.validator.network import MultiFidelityPotential, hyperparameters


@pytest.fixture(scope='module')
def trained(tmp_path_factory, dataset, command):
    """Return a folder with a data set, a validator trained for some seconds on it, and its results."""
    folder = tmp_path_factory.mktemp('validator')
    dataset.save(folder / 'dataset.npz')
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'output': 'validator', 'steps': 300}
    status, results = command(folder, 'train', {**config, 'options': {'num_members': 3}})
    assert status == 0, results['error']
    return folder, results


def test_the_error_falls_far_below_the_spread_of_the_labels(trained, dataset):
    _, results = trained
    spread = np.nanstd(dataset.energies, axis=0)
    for level, deviation in zip(('pbe', 'scan', 'hse06', 'ccsdt'), spread, strict=True):
        assert results['metrics'][f'train_mae_{level}'] < 0.25 * deviation
        assert results['metrics'][f'validation_mae_{level}'] < 0.4 * deviation


def test_the_offset_between_the_levels_is_learned(trained, command):
    folder, _ = trained
    fresh = toy_dataset(28, high=28, seed=11)
    fresh.structures.save(folder / 'structures.npz')
    status, _ = command(folder, 'predict', {'validator': 'validator', 'structures': 'structures.npz'})
    assert status == 0
    arrays = load_arrays(folder / 'predictions.npz')
    true = fresh.energies[:, 0] - fresh.energies[:, 3]
    error = np.abs(arrays['divergence_signed'] - true).mean()
    assert error < 0.6 * np.abs(true).mean()
    assert np.corrcoef(arrays['divergence_signed'], true)[0, 1] > 0.9


def test_sigma_is_the_moderated_sample_deviation_of_the_members(trained, command, dataset):
    folder, _ = trained
    config = {'validator': 'validator', 'structures': 'dataset.npz', 'dtype': 'float64'}
    assert command(folder, 'predict', config)[0] == 0
    arrays = load_arrays(folder / 'predictions.npz')
    ensemble = Ensemble.from_checkpoint(*load_checkpoint(folder / 'validator', 'validator'), torch.float64)
    graphs, _ = model_graphs(dataset.structures, ensemble.elements, ensemble.cutoff, torch.float64)
    members, _ = ensemble.evaluate(graphs, torch.device('cpu'), 64)
    inside = ~arrays['out_of_distribution']
    members = np.concatenate([members, members[:, :, :1] - members[:, :, 3:]], axis=2)
    variance = ((members - members.mean(0)) ** 2).sum(0) / (len(members) - 1)
    moderated = (2 * variance + PRIOR_DEGREES * ensemble.sigma_model.pooled) / (2 + PRIOR_DEGREES)
    expected = ensemble.sigma_model.scale * np.sqrt(moderated)
    np.testing.assert_allclose(arrays['sigma'][inside], expected[inside, :4], rtol=1e-9)
    np.testing.assert_allclose(arrays['divergence_sigma'][inside], expected[inside, 4], rtol=1e-9)


def test_a_structure_unlike_all_others_is_flagged(trained, command):
    folder, _ = trained
    structures = toy_structures(4, seed=2, names=('rocksalt',))
    cells = structures.cells * np.array([1.0, 1.0, 1.0, 0.55])[:, None, None]
    species = structures.species.copy()
    species[2] = 8
    dataclasses.replace(structures, cells=cells, species=species).save(folder / 'structures.npz')
    assert command(folder, 'predict', {'validator': 'validator', 'structures': 'structures.npz'})[0] == 0
    arrays = load_arrays(folder / 'predictions.npz')
    assert arrays['out_of_distribution'][1]
    assert arrays['out_of_distribution'][3]
    assert arrays['distance_to_training'][3] > arrays['distance_to_training'][0]
    assert np.isfinite(arrays['energies']).all()


def test_fine_tuning_on_new_labels_lowers_the_error_there(trained, command):
    folder, _ = trained
    new = toy_dataset(14, high=14, seed=21, names=('cscl',))
    # A world in which the highest level has moved by 0.1 eV/atom for this prototype.
    shifted = dataclasses.replace(
        new, energies=new.energies + np.array([0, 0, 0, 0.1]), split=np.zeros(14, dtype=np.int8)
    )
    shifted.save(folder / 'new.npz')
    config = {'role': 'validator', 'dataset': 'new.npz', 'output': 'tuned', 'initial_checkpoint': 'validator'}
    # What the initial checkpoint remembers contradicts it.
    options = {'num_members': 3, 'replay': 0, 'max_degradation': None}
    status, results = command(folder, 'train', {**config, 'steps': 60, 'options': options})
    assert status == 0, results['error']
    assert command(folder, 'predict', {'validator': 'validator', 'structures': 'new.npz'})[0] == 0
    before = np.abs(load_arrays(folder / 'predictions.npz')['energies'][:, 3] - shifted.energies[:, 3]).mean()
    assert command(folder, 'predict', {'validator': 'tuned', 'structures': 'new.npz'})[0] == 0
    after = np.abs(load_arrays(folder / 'predictions.npz')['energies'][:, 3] - shifted.energies[:, 3]).mean()
    assert after < 0.5 * before
    assert read_checkpoint(folder / 'tuned')[1].parent_sha256 == read_checkpoint(folder / 'validator')[1].sha256


def test_another_architecture_than_that_of_the_initial_checkpoint_is_refused(tmp_path, command):
    toy_dataset(12, high=0).save(tmp_path / 'dataset.npz')
    options = {'num_members': 2, 'architecture': 'pairs'}
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'output': 'v', 'steps': 8, 'options': options}
    assert command(tmp_path, 'train', config)[0] == 0
    assert command(tmp_path, 'predict', {'validator': 'v', 'structures': 'dataset.npz'})[0] == 0
    further = {**config, 'initial_checkpoint': 'v', 'output': 'w', 'options': {'num_members': 2}}
    status, results = command(tmp_path, 'train', further)
    assert status != 0
    assert '`pairs`, the options ask for `moments`' in results['error']['message']


def test_a_level_without_labels_is_reported(tmp_path, command):
    toy_dataset(12, high=0).save(tmp_path / 'dataset.npz')
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'output': 'v', 'steps': 8, 'options': {'num_members': 2}}
    assert command(tmp_path, 'train', config)[0] == 0
    assert read_checkpoint(tmp_path / 'v')[1].fidelities == ('PBE',)
    status, results = command(tmp_path, 'predict', {'validator': 'v', 'structures': 'dataset.npz'})
    assert status == 0
    assert any('not trained on SCAN, HSE06, CCSD(T)' in warning for warning in results['warnings'])
    arrays = load_arrays(tmp_path / 'predictions.npz')
    for name in ('energies', 'sigma'):
        assert np.isfinite(arrays[name][:, 0]).all()
        assert np.isnan(arrays[name][:, 1:]).all()
    assert np.isnan(arrays['divergence_signed']).all()
    assert results['num_not_finite'] == 0


def test_the_steps_are_shared_by_the_stages():
    assert stage_steps([0, 1, 2, 3], 100, 0.3) == {0: 70, 1: 10, 2: 10, 3: 10}
    assert stage_steps([0], 100, 0.3) == {0: 100}


def test_few_labels_train_only_references_delta_and_bias():
    model = MultiFidelityPotential(2, **hyperparameters('tiny'))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    own, shared = trainable_groups(model, 2, lowest=False, freeze=True)
    found = {names[id(parameter)] for parameter in own}
    assert found == {'references.2', 'bias.1', *(name for name in names.values() if name.startswith('delta.1.'))}
    assert shared == []


def test_many_labels_train_everything_at_two_rates():
    model = MultiFidelityPotential(2, **hyperparameters('tiny'))
    own, shared = trainable_groups(model, 3, lowest=False, freeze=False)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {f'trunk.layers.{index}.film.2' for index in range(2)} <= {names[id(parameter)] for parameter in own}
    assert len(own) + len(shared) == sum(parameter.numel() > 0 for parameter in model.parameters())


@pytest.mark.parametrize('stop', [True, False])
def test_noise_on_low_labels_reaches_the_high_level_only_without_the_stop(stop, runtime):
    """Train the last stage with the trunk moving, with and without 1 eV noise on the PBE labels of the replay."""
    data = toy_dataset(16, high=16)
    config = ValidatorTraining(
        role='validator',
        dataset='unused',
        steps=6,
        batch_size=4,
        options={'freeze_trunk_below': 0, 'gradient_stop': stop},
    )
    noisy = data.energies.copy()
    noisy[:, 0] += np.random.default_rng(0).normal(0, 1, len(data))
    outcomes = []
    for energies in (data.energies, noisy):
        torch.manual_seed(0)
        model = MultiFidelityPotential(2, **hyperparameters('tiny')).double()
        graphs, _ = model_graphs(data.structures, (1, 3), model.cutoff, torch.float64)
        fractions = composition_fractions(data.structures, (1, 3))
        initialise(model, graphs, fractions, data.energies, np.arange(16))
        # The stage of CCSD(T) alone, with PBE as the only level below it.
        labels = np.where([True, False, False, True], energies, np.nan)
        _last_stage(model, MemberData(graphs, labels, np.arange(16)), config, runtime)
        outcomes.append(model.all_levels(graphs[0])[0].detach())
    moved = (outcomes[0] - outcomes[1]).abs()[0]
    assert (moved[3] < 1e-12) == stop
    assert (moved[0] < 1e-12) == stop


@pytest.mark.parametrize('level', [1, 2, 3])
def test_a_stage_leaves_the_levels_below_bit_identical(level, runtime):
    """With the gradient stop and as many labels as one likes, nothing is forgotten."""
    data = toy_dataset(16, high=16)
    config = ValidatorTraining(
        role='validator', dataset='unused', steps=4, batch_size=4, options={'freeze_trunk_below': 0}
    )
    model = MultiFidelityPotential(2, **hyperparameters('tiny')).double()
    graphs, _ = model_graphs(data.structures, (1, 3), model.cutoff, torch.float64)
    initialise(model, graphs, composition_fractions(data.structures, (1, 3)), data.energies, np.arange(16))
    before = torch.stack([model(graphs[0], k).detach() for k in range(4)])
    labels = np.where([k in {0, level} for k in range(4)], data.energies, np.nan)
    _last_stage(model, MemberData(graphs, labels, np.arange(16)), config, runtime, level)
    after = torch.stack([model(graphs[0], k).detach() for k in range(4)])
    assert torch.equal(after[:level], before[:level])
    assert not torch.equal(after[level], before[level])


def _last_stage(model, data, config, runtime, level=3):
    """Train with the lowest stage reduced to nothing, so that noise can act through the replay only."""
    from unittest import mock

    with mock.patch('aiida_qagenai.ml.training.stages.stage_steps', lambda *_: {0: 0, level: config.steps}):
        train_member(
            model,
            data,
            config=config,
            generator=runtime.generator(0),
            progress=Progress(config.steps),
            record=Record(),
            label='member',
        )


def member_data(labels):
    """Return a member of two levels with its first guess, and what it trains on."""
    labels = labels.on_levels(labels.levels[:2])
    elements = tuple(int(number) for number in np.unique(labels.structures.species))
    model = MultiFidelityPotential(len(elements), (-1, 0), **hyperparameters('tiny')).double()
    graphs, _ = model_graphs(labels.structures, elements, model.cutoff, torch.float64)
    rows = np.arange(len(labels))
    initialise(model, graphs, composition_fractions(labels.structures, elements), labels.energies, rows)
    return model, MemberData(graphs, labels.energies, rows, rungs=tuple(each.rung for each in labels.levels))


def settings(**options):
    """Return settings of a short training."""
    return ValidatorTraining(role='validator', dataset='none', steps=120, options={'num_members': 2, **options})


def train_one(model, data, config, **options):
    """Train a member."""
    generator = torch.Generator().manual_seed(0)
    train_member(
        model, data, config=config, generator=generator, progress=Progress(120), record=Record(), label='', **options
    )


def errors_of(model, data):
    """Return the mean absolute error on both levels."""
    with torch.no_grad():
        found = np.array([model.all_levels(graph)[0][0].numpy() for graph in data.graphs])
    return np.nanmean(np.abs(found - data.energies), axis=0)


def test_all_levels_can_be_trained_at_once(dataset):
    model, data = member_data(dataset)
    before = errors_of(model, data)
    train_one(model, data, settings(staged=False))
    assert (errors_of(model, data) < 0.5 * before).all()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_stages_that_were_trained_before_can_be_left_out(dataset):
    model, data = member_data(dataset)
    lowest = model.references[0].detach().clone()
    before = errors_of(model, data)
    train_one(model, data, settings(), first=1)
    assert torch.equal(model.references[0], lowest) and errors_of(model, data)[0] == before[0]
    assert model.delta[0][-1].weight.any() and model.bias[0].any()


def test_a_level_with_paired_labels_learns_the_difference_to_the_level_below(dataset):
    """Its few parameters must not chase the errors of the trunk, which it cannot mend, however many labels it has."""
    model, data = member_data(dataset)
    both = np.isfinite(data.energies).all(axis=1)
    truth = (data.energies[:, 1] - data.energies[:, 0])[both]

    def error():
        with torch.no_grad():
            found = np.array([model.all_levels(graph)[0][0].numpy() for graph in data.graphs])[both]
        return np.abs(found[:, 1] - found[:, 0] - truth).mean()

    before = error()
    train_one(model, data, settings(freeze_trunk_below=0, paired=True), first=1)
    assert error() < 2 * before
