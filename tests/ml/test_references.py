"""Element references by hierarchical ridge regression."""

import numpy as np
import pytest

from aiida_qagenai.ml.training.members import fit_references


@pytest.fixture
def fractions():
    """Return compositions of 30 structures over three elements."""
    return np.random.default_rng(0).dirichlet(np.ones(3), 30)


TRUE = np.array([[-1.0, 0.5, 2.0], [-1.3, 0.6, 2.2], [-1.5, 0.4, 2.1], [-2.0, 0.0, 3.0]])


def test_linear_references_are_recovered(fractions):
    fitted = fit_references(fractions, fractions @ TRUE.T, ridge=1e-9)
    np.testing.assert_allclose(fitted, TRUE, atol=1e-5)


def test_a_level_without_labels_repeats_the_level_below(fractions):
    energies = fractions @ TRUE.T
    energies[:, 2:] = np.nan
    fitted = fit_references(fractions, energies)
    np.testing.assert_array_equal(fitted[2], fitted[1])
    np.testing.assert_array_equal(fitted[3], fitted[1])


def test_few_labels_are_shrunk_to_the_level_below(fractions):
    energies = fractions @ TRUE.T
    energies[1:, 1] = np.nan
    energies[:, 2:] = np.nan
    weak, strong = (fit_references(fractions, energies, ridge=ridge) for ridge in (0.01, 10.0))
    assert np.abs(strong[1] - strong[0]).sum() < np.abs(weak[1] - weak[0]).sum()


def test_computing_only_stable_structures_on_a_high_level_does_not_shift_it(fractions):
    # The same offset on every structure, but the upper level exists only where the energy is low by chance.
    rng = np.random.default_rng(1)
    low = fractions @ TRUE[0] + rng.normal(0, 0.3, 30)
    high = np.where(low < np.quantile(low, 0.3), low + 0.1, np.nan)
    energies = np.column_stack([low, high, *[np.full(30, np.nan)] * 2])
    fitted = fit_references(fractions, energies, ridge=1e-6)
    np.testing.assert_allclose(fitted[1] - fitted[0], 0.1, atol=1e-3)


def test_elements_that_never_vary_alone_share_the_difference():
    fractions = np.full((5, 2), 0.5)
    fitted = fit_references(fractions, np.column_stack([np.zeros(5), np.ones(5)]))
    assert fitted[1, 0] == pytest.approx(fitted[1, 1])
    assert fitted[1].mean() == pytest.approx(1.0, abs=0.1)
