"""Tests for :mod:`aiida_qagenai.selection.acquisition`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.acquisition import (
    ARMS,
    CandidatePool,
    diversity_scores,
    expected_improvement,
    hit_probability,
    knowledge_gradient,
    scale,
    score,
)


def make_pool(number=40, seed=0, **changes):
    rng = np.random.default_rng(seed)
    signed = rng.normal(0, 0.1, number)
    arrays = {
        'fingerprints': [f'{i:04d}' for i in range(number)],
        'eligible': np.ones(number, dtype=bool),
        'divergence': np.abs(signed),
        'divergence_signed': signed,
        'divergence_sigma': rng.uniform(0.01, 0.1, number),
        'sigma': rng.uniform(0.01, 0.1, number),
        'low_fidelity_energy': rng.normal(size=number),
        'features': rng.normal(size=(number, 4)),
        'true_divergence': rng.random(number),
    }
    return CandidatePool(**{**arrays, **changes})


def test_the_hybrid_is_seven_tenths_divergence_and_three_tenths_diversity():
    pool = make_pool()
    scores = score(pool, num_clusters=5)
    diversity = diversity_scores(pool.features, num_clusters=5)[0]
    lower, upper = pool.divergence.min(), np.quantile(pool.divergence, 0.95)
    assert np.allclose(scores.total, 0.7 * (pool.divergence - lower) / (upper - lower) + 0.3 * diversity)
    assert scores.scaling['divergence'] == {'lower': lower, 'upper': upper, 'weight': 0.7}
    assert scores.scaling['diversity'] == {'lower': 0.0, 'upper': 1.0, 'weight': 0.3}


@pytest.mark.parametrize('arm', ARMS)
def test_every_arm_scores_the_eligible_and_only_these(arm):
    pool = make_pool(eligible=np.arange(40) % 3 > 0)
    scores = score(pool, arm)
    assert np.isneginf(scores.total[~pool.eligible]).all()
    assert (scores.total[pool.eligible] >= 0).all() and np.isfinite(scores.total[pool.eligible]).all()
    assert np.quantile(scores.total[pool.eligible], 0.9) <= 1 + 1e-12
    assert sum(entry['weight'] for entry in scores.scaling.values()) == pytest.approx(1.0)
    assert np.array_equal(score(pool, arm).total, scores.total)


def test_the_low_fidelity_arm_prefers_low_energies():
    pool = make_pool()
    assert score(pool, 'low_fidelity_rank').total.argmax() == pool.low_fidelity_energy.argmin()


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=40), st.floats(0.001, 0.5))
def test_as_many_hits_are_expected_as_the_share_says(signed, sigma):
    """Whatever the predictions are, the probabilities add up to the share of the pool."""
    probability = hit_probability(np.array(signed), np.full(len(signed), sigma))
    assert probability.mean() == pytest.approx(0.15, abs=1e-3)
    order = np.argsort(np.abs(signed))
    assert (np.diff(probability[order]) >= -1e-9).all()


def test_doubt_makes_a_hit_more_likely_where_none_is_expected():
    """Of two with a small divergence the uncertain one is preferred; of two with a large one, the sure one."""
    signed = np.concatenate([np.full(50, 0.01), [0.05, 0.05, 0.5, 0.5]])
    sigma = np.concatenate([np.full(50, 0.01), [0.02, 0.2, 0.02, 0.4]])
    *_, sure, unsure, large, doubtful = hit_probability(signed, sigma, share=0.05)
    assert unsure > sure and large > doubtful


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=20), st.floats(0.01, 0.3))
def test_the_expected_improvement_is_the_mean_over_samples(signed, sigma):
    """By how much draws of Δ exceed a divergence that 15 % of the candidates are expected to exceed.

    Where few draws lie around it, many divergences have that share: the one taken is recovered from the mean.
    """
    signed = np.array(signed)
    found = expected_improvement(signed, np.full(len(signed), sigma))
    draws = np.abs(signed + sigma * norm.ppf(np.linspace(0.0005, 0.9995, 1000))[:, None])
    threshold = brentq(lambda each: np.maximum(draws - each, 0).mean() - found.mean(), -1, draws.max())
    assert found == pytest.approx(np.maximum(draws - threshold, 0).mean(axis=0), abs=0.02)
    assert (draws > threshold + 0.02).mean() - 0.01 <= 0.15 <= (draws > threshold - 0.02).mean() + 0.01


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=20), st.floats(0.01, 0.3))
def test_the_knowledge_gradient_is_what_a_decision_gains(signed, sigma):
    """No more than the expected improvement, less where a hit is certain already, and nothing where all is known."""
    signed = np.array(signed)
    found = knowledge_gradient(signed, np.full(len(signed), sigma))
    improvement = expected_improvement(signed, np.full(len(signed), sigma))
    assert (found >= 0).all() and (found <= improvement + 1e-12).all()
    assert knowledge_gradient(signed, np.zeros(len(signed))) == pytest.approx(0, abs=1e-3)


def test_the_knowledge_gradient_leaves_certain_hits_for_later():
    found = knowledge_gradient(
        np.array([2.0, 0.5, 0.0, 0.0, 0.0, 0.0]), np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1]), 1 / 4
    )
    assert found.argmax() == 1 and found[0] < 0.01 * found[1]


def test_what_costs_more_must_gain_more():
    pool = make_pool(number=3, divergence_signed=[0.1] * 3, divergence_sigma=[0.05] * 3, cost=[2.0, 1.0, 4.0])
    assert score(pool, 'knowledge_gradient').total.argsort().tolist() == [2, 0, 1]
    with pytest.raises(InvalidInputError, match='positive'):
        score(make_pool(cost=np.zeros(40)), 'knowledge_gradient')


def test_relative_divergence_survives_a_collapsed_ensemble():
    pool = make_pool(divergence_sigma=np.zeros(40))
    scores = score(pool, 'divergence', divergence='relative')
    assert np.isfinite(scores.total).all()


def test_an_outlier_does_not_leave_the_choice_to_the_other_term():
    """The others keep the differences that they had without it, and it stays the first."""
    divergence = np.linspace(0.1, 0.4, 40)
    without = score(make_pool(divergence=divergence), num_clusters=5).terms['divergence']
    divergence[-1] = 100.0
    scores = score(make_pool(divergence=divergence), num_clusters=5)
    assert np.allclose(scores.terms['divergence'][:-1], without[:-1])
    assert scores.total.argmax() == 39


@pytest.mark.parametrize(('values', 'expected'), [([1, 1, 1], (1, 1)), ([0] * 99 + [5], (0, 5)), ([2], (2, 2))])
def test_scale_of_values_that_are_equal_but_for_few(values, expected):
    """The largest one then stands for the quantile, so that the few are not lost."""
    assert scale(np.array(values, dtype=float)) == expected


def test_divergence_and_its_doubt_add_up_as_energies():
    """The upper confidence bound: no scaling of either."""
    pool = make_pool()
    order = np.argsort(pool.divergence + pool.sigma)
    assert (np.argsort(score(pool, 'divergence_plus_sigma').total) == order).all()


def test_scaling_ignores_what_is_not_eligible():
    divergence = np.linspace(0, 1, 40)
    divergence[-1] = np.nan
    pool = make_pool(divergence=divergence, eligible=np.arange(40) < 20)
    assert score(pool, 'divergence').scaling['divergence']['upper'] == np.quantile(divergence[:20], 0.95)


def test_a_constant_term_adds_nothing():
    pool = make_pool(divergence=np.full(40, 0.2))
    assert (score(pool, 'divergence').total == 0).all()


def test_an_empty_or_wholly_ineligible_pool_is_scored():
    assert len(score(make_pool(0, features=np.zeros((0, 4))), 'hybrid').total) == 0
    assert np.isneginf(score(make_pool(eligible=np.zeros(40, dtype=bool))).total).all()


def test_missing_arrays_and_unknown_names_are_refused():
    with pytest.raises(InvalidInputError, match='`sigma`'):
        score(make_pool(sigma=None), 'uncertainty')
    with pytest.raises(InvalidInputError, match='hybrid'):
        score(make_pool(), 'best')
    with pytest.raises(InvalidInputError, match='absolute'):
        score(make_pool(), divergence='squared')
    with pytest.raises(InvalidInputError, match='candidate 3'):
        score(make_pool(divergence=np.where(np.arange(40) == 3, np.nan, 1.0)), 'divergence')
    with pytest.raises(InvalidInputError, match='shape'):
        make_pool(sigma=np.zeros(3))


def test_each_cluster_has_one_representative_with_full_diversity():
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    features = np.repeat(centres, (12, 5, 3), axis=0) + rng.normal(0, 0.1, (20, 2))
    scores, labels = diversity_scores(features, num_clusters=3)
    assert len({tuple(labels[:12]), tuple(labels[12:17]), tuple(labels[17:])}) == 3
    for label in range(3):
        members = labels == label
        assert (scores[members] == 1.0).sum() == 1
        assert scores[members].min() == pytest.approx(1 / members.sum())


def test_diversity_of_duplicates_is_equal_and_constant_features_are_ignored():
    features = np.array([[1.0, 5.0], [1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    scores, labels = diversity_scores(features, num_clusters=50)
    assert scores[0] == scores[1]
    assert labels[0] == labels[1]
    assert len(set(labels)) == 3
    assert (diversity_scores(np.ones((5, 3)))[0] == 1.0).all()


def test_bad_features_are_refused():
    with pytest.raises(InvalidInputError, match='finite'):
        diversity_scores(np.array([[np.nan]]))
    with pytest.raises(InvalidInputError, match='num_clusters'):
        diversity_scores(np.ones((2, 2)), num_clusters=0)
