"""Symmetries of the denoiser, in double precision."""

import itertools

import numpy as np
import pytest
import torch

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.ml.elements import chemical_features
from aiida_qagenai.ml.generator.diffusion import wrap
from aiida_qagenai.ml.generator.lattice import log_coordinates, metric_from_coordinates
from aiida_qagenai.ml.generator.network import NUM_RADIAL, SIZES, Denoiser, Noisy, Prediction, near_images
from aiida_qagenai.ml.generator.reduction import shortest_basis

TOLERANCE = {'atol': 1e-10, 'rtol': 0}


@pytest.fixture(params=['concatenation', 'cross-attention'])
def model(request):
    """Return a denoiser with random weights everywhere, also where training starts at zero."""
    model = Denoiser(3, **SIZES['tiny'], conditioning=request.param).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.lattice.mean[0] = 2.5
    return model


@pytest.fixture
def noisy():
    """Return two structures of 3 and 5 atoms."""
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    types = torch.randint(0, 4, (2, 5))
    time = torch.tensor([0.2, 0.7], dtype=torch.float64)
    z, x = torch.randn(2, 6, dtype=torch.float64), torch.rand(2, 5, 3, dtype=torch.float64)
    return Noisy(z, x, types, mask, time)


@pytest.fixture
def q():
    """Return normalised descriptors of two structures, all known."""
    return torch.randn(2, NUM_DESCRIPTORS, dtype=torch.float64), torch.ones(2, NUM_DESCRIPTORS, dtype=torch.bool)


def test_a_translation_changes_nothing(model, noisy, q):
    shifted = noisy._replace(x=noisy.x + torch.rand(2, 1, 3, dtype=torch.float64) * 7)
    for before, after in zip(model(noisy, *q), model(shifted, *q), strict=True):
        torch.testing.assert_close(before, after, **TOLERANCE)


def test_moving_an_atom_by_a_lattice_vector_changes_nothing(model, noisy, q):
    x = noisy.x.clone()
    x[:, 1] += torch.tensor([1.0, -2.0, 3.0])
    for before, after in zip(model(noisy, *q), model(noisy._replace(x=x), *q), strict=True):
        torch.testing.assert_close(before, after, **TOLERANCE)


def test_a_permutation_permutes_the_output(model, noisy, q):
    order = torch.tensor([2, 0, 1, 4, 3])
    permuted = noisy._replace(x=noisy.x[:, order], types=noisy.types[:, order], mask=noisy.mask[:, order])
    before, after = model(noisy, *q), model(permuted, *q)
    torch.testing.assert_close(before.v, after.v, **TOLERANCE)
    torch.testing.assert_close(before.shift[:, order], after.shift, **TOLERANCE)
    torch.testing.assert_close(before.logits[:, order], after.logits, **TOLERANCE)


def test_padding_changes_nothing(model, noisy, q):
    whole = model(noisy, *q)
    alone = Noisy(noisy.z[:1], noisy.x[:1, :3], noisy.types[:1, :3], noisy.mask[:1, :3], noisy.time[:1])
    trimmed = model(alone, q[0][:1], q[1][:1])
    torch.testing.assert_close(whole.v[:1], trimmed.v, **TOLERANCE)
    torch.testing.assert_close(whole.shift[:1, :3], trimmed.shift, **TOLERANCE)


def test_the_displacements_sum_to_zero(model, noisy, q):
    shift = model(noisy, *q).shift
    assert shift.abs().max() > 1e-3
    torch.testing.assert_close(shift.sum(1), torch.zeros(2, 3, dtype=torch.float64), **TOLERANCE)


def test_conditioning_and_time_change_the_output(model, noisy, q):
    base = model(noisy, *q)
    for other in (
        model(noisy, q[0] + 1, q[1]),
        model(noisy, q[0], torch.zeros_like(q[1])),
        model(noisy._replace(time=noisy.time + 0.1), *q),
    ):
        assert (base.shift - other.shift).abs().max() > 1e-4
        assert (base.v - other.v).abs().max() > 1e-4


def test_unknown_descriptors_do_not_enter(model, noisy, q):
    known = q[1].clone()
    known[:, 3] = False
    changed = q[0].clone()
    changed[:, 3] += 5
    torch.testing.assert_close(model(noisy, q[0], known).v, model(noisy, changed, known).v, **TOLERANCE)


def test_attention_that_is_added_changes_nothing_at_first(noisy, q):
    model = Denoiser(3, **SIZES['tiny']).double()
    nothing = torch.zeros_like(q[1])
    before = model(noisy, q[0], nothing)
    model.attend_to_q(4)
    model.double()
    for known in (nothing, q[1]):
        for left, right in zip(before, model(noisy, q[0], known), strict=True):
            torch.testing.assert_close(left, right, **TOLERANCE)


def test_missing_descriptors_become_unknown(model):
    values = torch.full((1, NUM_DESCRIPTORS), torch.nan, dtype=torch.float64)
    values[0, 2] = 1.5
    normalised, known = model.normalise_q(values)
    assert known[0].nonzero().flatten().tolist() == [2]
    assert torch.isfinite(normalised).all()


def test_the_base_size_is_about_two_million_parameters_and_runs(noisy, q):
    model = Denoiser(60, **SIZES['base']).double()
    assert 2e6 < sum(parameter.numel() for parameter in model.parameters()) < 3e6
    predicted = model(noisy, *q)
    assert predicted.logits.shape == (2, 5, 60)
    assert all(torch.isfinite(each).all() for each in predicted)


def test_an_element_that_is_like_another_is_treated_like_it(model, noisy, q):
    """Chemical features let the network carry over what it learned: unseen elements have nothing else."""
    with torch.no_grad():
        model.learned.weight.zero_()
    model.features[:-1] = torch.as_tensor(chemical_features((11, 19, 17)))
    sodium, potassium, chlorine = (model(noisy._replace(types=torch.full((2, 5), k)), *q).shift for k in range(3))
    assert (sodium - potassium).norm() < 0.7 * (sodium - chlorine).norm()


def test_the_nearest_image_is_among_the_near_ones():
    cell = np.array([[4.0, 0, 0], [1.7, 3.9, 0], [-1.5, 1.2, 5.0]])
    cell = torch.tensor(shortest_basis(cell) @ cell)
    x = torch.rand(1, 12, 3, dtype=torch.float64)
    differences = wrap(x.unsqueeze(1) - x.unsqueeze(2))
    images, _ = near_images(differences)
    shifts = torch.tensor(list(itertools.product(range(-3, 4), repeat=3)), dtype=torch.float64)
    expected = ((differences.unsqueeze(-2) + shifts) @ cell).norm(dim=-1).amin(-1)
    torch.testing.assert_close((images @ cell).norm(dim=-1).amin(-1), expected)


@pytest.mark.parametrize('place', [0.0, 0.5])
def test_the_prediction_is_continuous_where_images_change(model, noisy, q, place):
    """Atoms of symmetric crystals often share a coordinate, or are half a lattice vector apart."""
    predicted = []
    for offset in (-1e-9, 0.0, 1e-9):
        x = noisy.x.clone()
        x[:, 1, 2] = x[:, 0, 2] + place + offset
        predicted.append(model(noisy._replace(x=x), *q))
    for each in predicted[1:]:
        torch.testing.assert_close(each.shift, predicted[0].shift, atol=1e-6, rtol=0)
        torch.testing.assert_close(each.v, predicted[0].v, atol=1e-6, rtol=0)


def test_a_turned_cell_turns_the_forces_along_connections(model, noisy, q):
    """Along connections the network reads forces of distances: axes that change places change its output alike."""
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        model.pair_features.weight[:, :-NUM_RADIAL].zero_()  # fractional phases
        model.from_edges.weight[-3:].zero_()
        model.from_edges.bias[-3:].zero_()
        model.context[0].weight[:, -6:].zero_()
        model.pair_context.weight[:, :6].zero_()
    cells = metric_from_coordinates(model.lattice.coordinates(noisy.z, noisy.mask.sum(1)))
    turned = model.lattice.encode(log_coordinates(cells[:, order][:, :, order]), noisy.mask.sum(1))
    before, after = model(noisy, *q), model(noisy._replace(z=turned, x=noisy.x[:, :, order]), *q)
    torch.testing.assert_close(before.shift[:, :, order], after.shift, atol=1e-8, rtol=0)


def test_a_cell_far_from_the_others_is_reachable(model, noisy):
    """1.7 % of the cells of MP-20 lie beyond 3.5 standard deviations, none beyond 7."""
    far = torch.full((2, 6), 7.0, dtype=torch.float64)
    noisy = noisy._replace(z=far, time=torch.zeros(2, dtype=torch.float64))
    predicted = Prediction(torch.zeros_like(far), torch.zeros_like(noisy.x), torch.zeros(2, 5, 3))
    torch.testing.assert_close(model.clean(noisy, predicted)[0], far)
