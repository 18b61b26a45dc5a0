"""The descriptor model: symmetries, losses over missing labels, learning."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from toy_crystals import toy_structures

from aiida_qagenai.common.descriptors import FIELDS, NUM_DESCRIPTORS, block_slices
from aiida_qagenai.exchange.tasks import DescriptorOptions
from aiida_qagenai.ml.descriptors import SIZES, DescriptorModel, load_descriptor_model, loss_terms, weighted
from aiida_qagenai.ml.elements import composition_fractions, species_indices
from aiida_qagenai.ml.graph import build_graphs, collate
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.training import descriptor as training

ELEMENTS = (1, 3)


@pytest.fixture
def model():
    """Return a fresh model in double precision."""
    return DescriptorModel(2, **SIZES['tiny']).double()


def predict(model, structures):
    """Return Φ_Q of the structures."""
    graphs = build_graphs(structures, species_indices(structures.species, ELEMENTS), model.cutoff, torch.float64)
    return model.predict_structure(collate(graphs))


def test_orientation_origin_and_cell_change_nothing(model):
    structures = toy_structures(5)
    matrix = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    other = dataclasses.replace(
        structures,
        cells=matrix @ structures.cells @ Rotation.random(random_state=0).as_matrix(),
        fractional=(structures.fractional + 0.3) @ np.linalg.inv(matrix),
    )
    torch.testing.assert_close(predict(model, structures), predict(model, other), atol=1e-10, rtol=0)


def test_the_elf_histogram_is_one(model):
    q = predict(model, toy_structures(5))[:, block_slices()['elf']]
    assert (q >= 0).all()
    torch.testing.assert_close(q.sum(1), torch.ones(5, dtype=torch.float64))


def test_fields_without_labels_are_not_predicted(model):
    model.trained[FIELDS.index('chi0_q_min')] = 0
    q = model.predict_composition(torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert torch.isnan(q[0, FIELDS.index('chi0_q_min')])
    assert torch.isfinite(q).sum() == NUM_DESCRIPTORS - 1


def terms_of(model, targets):
    """Return the loss terms of two compositions."""
    fractions = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    latent = model.encode_composition(fractions)
    return loss_terms(model, latent, targets, fractions, torch.zeros(2, dtype=torch.float64))


def test_missing_labels_give_no_loss_and_finite_gradients(model):
    targets = torch.full((2, NUM_DESCRIPTORS), torch.nan, dtype=torch.float64)
    terms = terms_of(model, targets)
    assert all(terms[name] == 0 for name in ('dos', 'band_gap', 'elf', 'laplacian', 'response'))
    weighted(terms, DescriptorOptions()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_partly_labelled_block_counts_its_labels_only(model):
    targets = torch.full((2, NUM_DESCRIPTORS), torch.nan, dtype=torch.float64)
    targets[0, FIELDS.index('dos_mean')] = 1.0
    terms = terms_of(model, targets)
    fractions = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    predicted = model.raw(model.encode_composition(fractions))[0, FIELDS.index('dos_mean')]
    assert terms['dos'].item() == pytest.approx((predicted.item() - 1) ** 2)
    assert terms['band_gap'] == 0


def test_the_weights_of_the_loss_are_those_of_the_options(model):
    terms = {name: torch.tensor(1.0) for name in ('dos', 'band_gap', 'elf', 'laplacian', 'response', 'reconstruction')}
    assert weighted(terms, DescriptorOptions()).item() == pytest.approx(1.0 + 0.5 + 0.3 + 0.3 + 0.3 + 0.2)


def test_every_term_of_the_loss_is_logged(models):
    history = json.loads((models / 'descriptor.json').read_text())['history']
    terms = ('dos', 'band_gap', 'elf', 'laplacian', 'response', 'reconstruction')
    assert {f'{source}_{term}' for source in ('structure', 'composition') for term in terms} <= set(history)
    assert len({len(curve) for curve in history.values()}) == 1


def test_both_encoders_learn(models, dataset, runtime):
    model, elements = load_descriptor_model(models / 'descriptor', runtime)
    assert elements == ELEMENTS
    spread = dataset.descriptors.std(axis=0)
    fractions = torch.as_tensor(composition_fractions(dataset.structures, elements))
    with torch.no_grad():
        from_structure = predict(model, dataset.structures).numpy()
        from_composition = model.predict_composition(fractions).numpy()
    assert (np.abs(from_structure - dataset.descriptors).mean(axis=0) < 0.8 * spread).all()
    # In this world the mean of the density of states is a function of the composition alone.
    column = FIELDS.index('dos_mean')
    assert np.abs(from_composition - dataset.descriptors)[:, column].mean() < 0.3 * spread[column]


def test_a_training_set_without_descriptors(tmp_path, dataset, command):
    """Energies of a potential come without any: compositions and volumes are learned, and a warning says so."""
    nothing = dataclasses.replace(dataset, descriptors=np.full_like(dataset.descriptors, np.nan))
    nothing.save(tmp_path / 'dataset.npz')
    config = {'role': 'descriptor', 'dataset': 'dataset.npz', 'steps': 5, 'learning_rate': 0.01}
    status, results = command(tmp_path, 'train', config)
    assert status == 0, results
    assert 'descriptor fields without labels are not predicted' in ' '.join(results['warnings'])


def test_errors_are_measured_in_batches(model, dataset, runtime, monkeypatch):
    """A held-out set of any size fits: no more than ``EVALUATED`` structures are in one graph."""
    sizes = []
    predicted = DescriptorModel.predict_structure
    monkeypatch.setattr(
        DescriptorModel, 'predict_structure', lambda self, g: sizes.append(len(g.num_atoms)) or predicted(self, g)
    )
    data = training._Data(dataset, ELEMENTS, model.cutoff, runtime)
    whole, parts = Record(), Record()
    with torch.no_grad():
        training._record_errors(model, data, dataset, 'validation', whole)
        monkeypatch.setattr(training, 'EVALUATED', 16)
        training._record_errors(model, data, dataset, 'validation', parts)
    assert sizes == [40, 16, 16, 8]
    assert parts.metrics == pytest.approx(whole.metrics)
