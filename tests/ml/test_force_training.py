"""Forces and stresses as labels: the second and third term of the loss (paper Eq 2)."""

import dataclasses

import numpy as np
import pytest
import torch
from emt_crystals import emt_dataset

from aiida_qagenai.exchange.tasks import ValidatorOptions
from aiida_qagenai.ml.graph import collate
from aiida_qagenai.ml.training import losses
from aiida_qagenai.ml.training.losses import Scale, Scales, Targets, micro_batch_loss
from aiida_qagenai.ml.training.stages import MemberData, paired_labels
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.ensemble import model_graphs
from aiida_qagenai.ml.validator.network import MultiFidelityPotential, hyperparameters

ELEMENTS = (13, 28, 29)


@pytest.fixture(scope='module')
def alloys():
    """Return ten alloys with energies, forces and stresses."""
    return emt_dataset(10, seed=3)


@pytest.fixture
def model():
    """Return a network with random weights also where training starts at zero."""
    network = MultiFidelityPotential(3, **hyperparameters('tiny')).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.mean_neighbours.fill_(20.0)
    return network


@pytest.fixture
def data(alloys):
    """Return the alloys as a member trains on them."""
    graphs, _ = model_graphs(alloys.structures, ELEMENTS, hyperparameters('tiny')['cutoff'], torch.float64)
    return MemberData(graphs, alloys.energies, np.arange(10), alloys.forces, alloys.stresses)


@pytest.mark.parametrize('level', range(4))
@pytest.mark.parametrize('protected', [False, True])
def test_forces_and_stress_agree_with_finite_differences(model, data, level, protected):
    """On every level, and in a stage with the gradient stop, which stops parameters and never positions or cells."""
    graph = collate(data.graphs[:2])

    if protected:
        model.requires_grad_(False).references[level].requires_grad_()

    def energy(moved):
        return model(moved, level)

    _, forces, stresses = with_derivatives(energy, graph)
    step = 1e-5
    for atom, axis in ((0, 0), (5, 1), (7, 2)):
        ends = []
        for sign in (1, -1):
            moved = graph.positions.clone()
            moved[atom, axis] += sign * step
            ends.append(energy(dataclasses.replace(graph, positions=moved)).sum().item())
        assert forces[atom, axis].item() == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-7)
    for a, b in ((0, 0), (0, 1), (2, 1)):
        ends = []
        for sign in (1, -1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            moved = dataclasses.replace(graph, positions=graph.positions @ strain, cells=graph.cells @ strain)
            ends.append(energy(moved)[1].item())
        volume = torch.linalg.det(graph.cells[1]).abs().item()
        assert stresses[1, a, b].item() == pytest.approx((ends[0] - ends[1]) / (2 * step) / volume, abs=1e-7)


@pytest.mark.parametrize('kind', ['forces', 'stresses'])
def test_the_parameters_learn_from_forces_and_from_stresses(model, data, kind):
    """With a perfect energy the gradient of the loss comes from the derivatives alone."""
    graph, targets = data.batch(np.arange(4), 0)
    perfect = (model(graph, 0) / graph.num_atoms).detach()
    only = Targets(perfect, **{kind: getattr(targets, kind)})
    loss = micro_batch_loss(model, graph, only, level=0, scales=Scales(), options=ValidatorOptions())
    loss.backward()
    moved = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-8]
    assert any(name.startswith('trunk') for name in moved)
    assert any(name.startswith('base') for name in moved)
    without = ValidatorOptions(force_weight=0, stress_weight=0)
    rest = micro_batch_loss(model, graph, only, level=0, scales=Scales(), options=without)
    assert rest.item() == pytest.approx(0, abs=1e-20)


def test_the_loss_is_equation_2(model, data):
    graph, targets = data.batch(np.arange(4), 0)
    scales = Scales(Scale(0.3, 1e9), Scale(2.0, 1e9), Scale(0.05, 1e9))
    options = ValidatorOptions(force_weight=0.7, stress_weight=0.2)
    loss = micro_batch_loss(model, graph, targets, level=0, scales=scales, options=options)
    energies, forces, stresses = with_derivatives(lambda moved: model(moved, 0), graph)
    terms = [
        ((energies / 4 - targets.energies) ** 2).mean() / 0.3**2,
        0.7 * ((forces - targets.forces) ** 2).mean() / 2.0**2,
        0.2 * ((stresses - targets.stresses) ** 2).mean() / 0.05**2,
    ]
    assert loss.item() == pytest.approx(sum(terms).item() / 2)


def test_structures_without_forces_do_not_count_among_those_with(model, data):
    graph, targets = data.batch(np.arange(4), 0)
    partly = targets.forces.clone()
    partly[4:] = np.nan
    common = {'level': 0, 'scales': Scales(), 'options': ValidatorOptions()}
    mixed = micro_batch_loss(model, graph, Targets(targets.energies, forces=partly), **common)
    energies_only = micro_batch_loss(model, graph, Targets(targets.energies), **common)
    first, own = data.batch(np.arange(1), 0)
    _, forces, _ = with_derivatives(lambda moved: model(moved, 0), first)
    expected = energies_only + Scale().loss(forces - own.forces)
    assert mixed.item() == pytest.approx(expected.item())


def test_labels_without_forces_cost_no_second_backward_pass(model, data, monkeypatch):
    called = []
    monkeypatch.setattr(losses, 'with_derivatives', lambda *_, **__: called.append(True))
    plain = dataclasses.replace(data, forces=None, stresses=None)
    common = {'scales': Scales(), 'options': ValidatorOptions()}
    micro_batch_loss(model, *plain.batch(np.arange(2), 0), level=0, **common)
    without = ValidatorOptions(force_weight=0, stress_weight=0)
    micro_batch_loss(model, *data.batch(np.arange(2), 0), level=0, scales=Scales(), options=without)
    assert not called


def test_a_frozen_trunk_is_not_blamed_for_its_forces(model, data):
    """Where the level below has a label, the target is what that level predicts plus the difference of the labels."""
    energies, forces, stresses = data.energies.copy(), data.forces.copy(), data.stresses.copy()
    energies[:, 1], forces[:, 1], stresses[:, 1] = energies[:, 0] + 0.3, forces[:, 0] * 1.5, stresses[:, 0] - 0.01
    both = dataclasses.replace(data, energies=energies, forces=forces, stresses=stresses)
    paired = paired_labels(model, both, 1)
    energy, force, stress = with_derivatives(lambda moved: model(moved, 0), collate(data.graphs))
    np.testing.assert_allclose(paired.energies[:, 1], energy.numpy() / 4 + 0.3)
    np.testing.assert_allclose(paired.forces[:, 1], force.numpy() + 0.5 * forces[:, 0])
    np.testing.assert_allclose(paired.stresses[:, 1], stress.numpy() - 0.01)
    np.testing.assert_array_equal(paired.forces[:, 0], forces[:, 0])


def test_outliers_do_not_move_the_threshold_of_the_loss():
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 0.1, 1000)
    dirty = np.where(rng.random(1000) < 0.1, clean + 20, clean)
    threshold = Scale.of(clean, clean, 1e-3).threshold
    assert threshold == pytest.approx(1.345 * 0.1, rel=0.1)
    assert Scale.of(dirty, dirty, 1e-3).threshold == pytest.approx(threshold, rel=0.2)


def test_the_threshold_follows_the_residuals_about_the_references(data):
    """Energies that differ between elements by electronvolts do not hide an error of one of them."""
    shifts = torch.tensor([0.0, 30.0, -20.0], dtype=torch.float64)
    means = np.array([shifts[graph.species].mean().item() for graph in data.graphs])
    moved = dataclasses.replace(data, energies=data.energies + means[:, None])
    rows = np.arange(len(data.graphs))
    expected = data.scales(rows, 0, data.of_elements(rows, torch.zeros(3))).energies.threshold
    scale = moved.scales(rows, 0, moved.of_elements(rows, shifts)).energies
    assert scale.threshold == pytest.approx(expected)
    assert scale.deviation > 1


def test_above_the_lowest_level_the_threshold_follows_the_errors_of_the_model(model, data):
    """The spread of the energies themselves would hide an error of what a higher level adds."""
    moved = data.energies.copy()
    rows = np.arange(len(data.graphs))
    predicted = data.predicted(rows, 0, model)
    noise = np.random.default_rng(0).normal(0, 0.1, len(moved))
    moved[:, 1] = predicted + noise
    scale = dataclasses.replace(data, energies=moved).scales(rows, 1, predicted).energies
    assert scale.threshold == pytest.approx(1.345 * 1.4826 * np.median(np.abs(noise - np.median(noise))))


@pytest.mark.slow
def test_training_on_forces_lowers_the_errors_of_forces_that_were_held_out(tmp_path, command):
    emt_dataset(60, seed=0, held_out=20).save(tmp_path / 'dataset.npz')
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'steps': 200, 'batch_size': 8}
    metrics = {}
    for name, weights in {'forces': {}, 'energies': {'force_weight': 0, 'stress_weight': 0}}.items():
        options = {'num_members': 2, **weights}
        status, results = command(tmp_path, 'train', {**config, 'output': name, 'options': options})
        assert status == 0, results['error']
        metrics[name] = results['metrics']
    for key, share in {'mae': 1.0, 'force_mae': 0.8, 'stress_mae': 0.9}.items():
        errors = {name: values[f'validation_{key}_pbe'] for name, values in metrics.items()}
        assert errors['forces'] < share * errors['energies'], key
