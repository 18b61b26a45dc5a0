"""Calibration of σ and the distance to the training set."""

import numpy as np
import pytest

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.ml.validator.calibration import PRIOR_LABELS, LatentReference, SigmaModel, with_divergence


def draw(size, members, factor, seed=0):
    """Return energies of members and truths whose distance to the mean of the members is ``factor`` times their σ."""
    rng = np.random.default_rng(seed)
    sigmas = rng.uniform(0.05, 0.1, (size, 4))
    energies = rng.normal(0, sigmas, (members, size, 4))
    return energies, energies.mean(axis=0) + rng.normal(0, factor * sigmas)


def fit(energies, truth):
    """Return the model of σ for held-out energies."""
    number = np.full((energies.shape[1], 1), len(energies))
    residuals = with_divergence(energies.mean(axis=0) - truth)
    return SigmaModel.fit(residuals, with_divergence(energies).var(axis=0, ddof=1), number)


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
def test_an_over_or_underestimate_is_calibrated_away(factor):
    energies, truth = draw(2000, 5, factor)
    model = fit(*draw(2000, 5, factor, seed=1))
    errors = with_divergence(energies.mean(axis=0) - truth)
    assert np.sqrt(np.mean(errors**2) / np.mean(model.sigma(energies) ** 2)) == pytest.approx(1.0, rel=0.05)


def test_a_few_labels_barely_move_the_scale():
    energies, _ = draw(1, 5, 0.0)
    residuals = np.full((1, 5), np.nan)
    residuals[0, :2] = 0.3
    variances = np.full((1, 5), 0.01)
    model = SigmaModel.fit(residuals, variances, np.full((1, 1), 5))
    common = (PRIOR_LABELS + 2 * 9) / (PRIOR_LABELS + 2)
    one = (PRIOR_LABELS * common + 9) / (PRIOR_LABELS + 1)
    assert model.scale == pytest.approx(np.sqrt([one, one, common, common, common]))
    assert (SigmaModel.fit(np.full((1, 5), np.nan), variances, np.full((1, 1), 5)).scale == 1.0).all()
    assert model.sigma(energies).shape == (1, 5)


def test_the_many_labels_of_one_level_do_not_decide_the_scale_of_another():
    factors = np.array([0.7, 1.0, 1.0, 2.9])
    energies, truth = draw(2000, 5, factors)
    truth[200:, 1:] = np.nan
    model = fit(energies, truth)
    fresh, expected = draw(2000, 5, factors, seed=1)
    errors = with_divergence(fresh.mean(axis=0) - expected)
    ratios = np.sqrt(np.mean(errors**2, axis=0) / np.mean(model.sigma(fresh) ** 2, axis=0))
    assert ratios == pytest.approx(1.0, rel=0.15)


def test_sigma_covers_the_errors_even_where_members_agree_by_accident():
    energies, truth = draw(4000, 5, 1.0)
    model = fit(*draw(500, 5, 1.0, seed=1))
    errors = np.abs(with_divergence(energies.mean(axis=0) - truth))
    spread = with_divergence(energies).std(axis=0, ddof=1)
    agreeing = spread < np.quantile(spread, 0.05)
    bare = (errors < 2 * spread)[agreeing].mean()
    covered = (errors < 2 * model.sigma(energies))[agreeing].mean()
    assert bare < 0.7
    assert covered > 0.85


def test_sigma_with_many_members_is_their_deviation():
    energies, truth = draw(500, 400, 1.0)
    ratio = fit(energies, truth).sigma(energies) / with_divergence(energies).std(axis=0, ddof=1)
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_open_shells_have_a_factor_of_their_own():
    energies, truth = draw(3000, 5, 1.0)
    shells = np.arange(3000) % 3
    truth = energies.mean(axis=0) + (truth - energies.mean(axis=0)) * np.array([1.0, 1.5, 0.8])[shells, None]
    residuals = with_divergence(energies.mean(axis=0) - truth)
    variances = with_divergence(energies).var(axis=0, ddof=1)
    model = SigmaModel.fit(residuals, variances, np.full((3000, 1), 5), shells)
    assert model.factors == pytest.approx([1.0, 1.5, 1.0], abs=0.1)
    scores = np.abs(residuals) / model.sigma(energies, shells)
    assert np.quantile(scores[shells == 1], 0.6827) == pytest.approx(np.quantile(scores[shells == 0], 0.6827), rel=0.07)
    few = SigmaModel.fit(residuals[:3], variances[:3], np.full((3, 1), 5), np.array([0, 0, 1]))
    assert few.factors[1] < 2
    assert few.factors[2] == 1


def test_sigma_grows_from_the_distance_of_typical_held_out_crystals(latent):
    latent, _ = latent
    distances = np.array([0.5, 1.0, 1.5]) * latent.threshold
    unseen = np.zeros(3, dtype=bool)
    assert latent.inflation(distances, unseen) == pytest.approx([1.0, 1.0, 1.5])
    grown = latent.with_onset(np.array([0.4, 0.5, 0.9]) * latent.threshold)
    assert grown.inflation(distances, unseen) == pytest.approx([1.0, 2.0, 3.0])
    assert latent.with_onset(np.array([7.0])).onset == latent.threshold


@pytest.fixture
def latent():
    """Return the reference of 200 normal training points in 5 dimensions, one of which is constant."""
    features = np.random.default_rng(0).normal(3.0, 2.0, (200, 5))
    features[:, 4] = 1.0
    return LatentReference.fit(features, seed=0), features


def test_training_points_are_at_distance_zero(latent):
    reference, features = latent
    np.testing.assert_allclose(reference.distances(features), 0.0, atol=1e-6)


def test_nearly_all_of_the_same_distribution_is_inside_and_far_points_are_outside(latent):
    reference, features = latent
    fresh = np.random.default_rng(1).normal(3.0, 2.0, (500, 5))
    fresh[:, 4] = 1.0
    assert (reference.distances(fresh) <= reference.threshold).mean() > 0.9
    assert (reference.distances(features + 20.0) > reference.threshold).all()


def test_distance_and_unseen_elements_inflate_sigma(latent):
    reference, _ = latent
    distances = reference.threshold * np.array([0.5, 1.0, 3.0, 0.5])
    factors = reference.inflation(distances, np.array([False, False, False, True]))
    assert factors == pytest.approx([1.0, 1.0, 3.0, 10.0])


def test_a_checkpoint_with_one_scale_is_still_read():
    model = SigmaModel.restore(np.array(2.0), np.array([1.0, 2.0, 3.0, 4.0]))
    assert model.scale.tolist() == [2.0] * 5 and model.pooled.tolist() == [1.0, 2.0, 3.0, 4.0, 4.0]


def test_the_error_bar_of_the_divergence_leaves_out_what_a_member_gets_wrong_on_both_levels():
    energies, truth = draw(500, 5, 1.0)
    energies += np.random.default_rng(1).normal(0, 1.0, (5, 500, 1))
    sigma = fit(energies, truth).sigma(energies)
    assert np.median(sigma[:, 4]) < 0.5 * np.median(sigma[:, 3])


def heavy_tailed(size, seed):
    """Return energies of members and truths, one in ten of which is ten times as far off as the others."""
    rng = np.random.default_rng(seed)
    energies, truth = draw(size, 5, 1.0, seed)
    far = rng.random(size) < 0.1
    return energies, np.where(far[:, None], energies.mean(axis=0) + 10 * (truth - energies.mean(axis=0)), truth)


def test_a_few_large_errors_do_not_decide_sigma():
    energies, truth = heavy_tailed(2000, 0)
    model = fit(*heavy_tailed(2000, 1))
    within = np.abs(with_divergence(energies.mean(axis=0) - truth)) < model.sigma(energies)
    assert within.mean(axis=0) == pytest.approx(0.68, abs=0.04)


@pytest.mark.parametrize('labels', [200, 2000])
def test_intervals_cover_what_they_say_also_with_long_tails(labels):
    energies, truth = heavy_tailed(2000, 0)
    model = fit(*heavy_tailed(labels, 1))
    within = np.abs(with_divergence(energies.mean(axis=0) - truth)) < model.quantile * model.sigma(energies)
    assert within.mean(axis=0) == pytest.approx(0.9, abs=0.05)


def test_a_level_with_too_few_labels_has_the_interval_of_all():
    energies, truth = heavy_tailed(500, 0)
    truth[8:, 3] = np.nan
    model = fit(energies, truth)
    assert model.quantile[3] == model.quantile[4] and model.quantile[3] > 1
    assert len(set(model.quantile.tolist())) == 4


def test_the_divergence_is_that_of_the_top_rung():
    """The fifth column is E_PBE minus the energy on any rung above."""
    energies = np.array([[4.0, 3.0, 1.0, 0.0]])
    assert with_divergence(energies)[0].tolist() == [4.0, 3.0, 1.0, 0.0, 4.0]
    assert with_divergence(energies, Fidelity.HSE06)[0, 4] == 3.0
    model = SigmaModel(np.ones(5), np.zeros(5), np.ones(5))
    members = np.stack([energies, energies + np.array([0.0, 0.0, 2.0, 0.0])])
    assert model.sigma(members)[0, 4] == 0.0
    assert model.sigma(members, top=Fidelity.HSE06)[0, 4] > 0
