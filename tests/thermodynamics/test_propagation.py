"""Monte Carlo and the linear law agree where a quantity is linear in the energies, and differ where it is not."""

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import (
    CompetingPhases,
    Phase,
    distance_to_hull,
    stability_probability,
)
from aiida_qagenai.thermodynamics.propagation import formation_jacobian, jacobian, linear_sigma, propagate

SAMPLES = 20_000


def test_equation_16_is_the_linear_law_of_independent_errors():
    found = linear_sigma(np.array([[1.0, 0.4, 0.7]]), np.array([0.02, 0.05, 0.03]))
    assert found == pytest.approx([np.sqrt(0.02**2 + 0.4**2 * 0.05**2 + 0.7**2 * 0.03**2)])


def test_formation_energies_are_linear():
    derivatives = formation_jacobian(np.array([2 / 3, 1 / 3]))

    def formation(energies):
        return derivatives @ energies

    errors = np.array([0.03, 0.02, 0.06])
    found = propagate(formation, np.array([-3.2, -1.9, -4.9]), errors, num_samples=SAMPLES)
    assert found.value == pytest.approx([-3.2 + 1.9 * 2 / 3 + 4.9 / 3])
    assert found.linear == pytest.approx(linear_sigma(derivatives, errors))
    assert found.sigma == pytest.approx(found.linear, rel=0.02)
    assert found.mean == pytest.approx(found.value, abs=0.001)


def test_shared_errors_cancel_in_a_difference_of_levels():
    covariance = 0.05**2 * np.array([[1.0, 0.9], [0.9, 1.0]])
    found = propagate(lambda pair: pair[:1] - pair[1:], np.array([-1.0, -1.2]), covariance, num_samples=SAMPLES)
    assert found.linear == pytest.approx([0.05 * np.sqrt(2 - 1.8)], rel=1e-6)
    assert found.sigma == pytest.approx(found.linear, rel=0.02)
    apart = propagate(lambda pair: pair[:1] - pair[1:], np.array([-1.0, -1.2]), np.full(2, 0.05), num_samples=SAMPLES)
    assert apart.sigma > 3 * found.sigma


@pytest.mark.parametrize(('gap', 'linear'), [(0.5, True), (0.0, False)])
def test_the_divergence_is_linear_only_far_from_zero(gap, linear):
    found = propagate(
        lambda pair: np.abs(pair[:1] - pair[1:]), np.array([gap, 0.0]), np.full(2, 0.05), num_samples=SAMPLES
    )
    if linear:
        assert found.sigma == pytest.approx(found.linear, rel=0.02)
    else:
        sigma = 0.05 * np.sqrt(2)
        # the half-normal distribution
        assert found.mean == pytest.approx([sigma * np.sqrt(2 / np.pi)], rel=0.02)
        assert found.sigma == pytest.approx([sigma * np.sqrt(1 - 2 / np.pi)], rel=0.02)


def phases(sigma=0.03):
    """Return the elements, exactly at zero, and Li2O with an uncertain energy."""
    return [Phase('Li', 0.0), Phase('O2', 0.0), Phase('Li2O', -2.0, sigma=sigma)]


def test_a_distance_far_above_the_hull_is_linear():
    found = stability_probability(Phase('LiO', -1.0, sigma=0.02), CompetingPhases(phases()), num_samples=4000)
    # LiO is 3/4 Li2O and 1/4 O by atoms
    assert found.linear_sigma == pytest.approx(np.hypot(0.02, 0.75 * 0.03))
    assert found.sigma == pytest.approx(found.linear_sigma, rel=0.05)


def test_a_distance_near_the_hull_is_not_linear():
    found = stability_probability(Phase('LiO', -1.5, sigma=0.02), CompetingPhases(phases()), num_samples=4000)
    assert found.sigma < 0.7 * found.linear_sigma
    assert found.mean > 0.3 * found.linear_sigma


def test_near_a_facet_another_decomposition_takes_over():
    # Li3O2 is on the tie line of Li2O and LiO: it lowers the hull where it is drawn below, and does nothing above
    on_line = Phase('Li3O2', 0.6 * -2.0 + 0.4 * -1.8, sigma=0.05)
    competing = CompetingPhases([*phases(), Phase('LiO', -1.8), on_line])
    candidate = Phase('Li3O2', -1.7, identifier='polymorph')
    found = stability_probability(candidate, competing, num_samples=4000)
    assert found.sigma > 1.4 * found.linear_sigma
    assert found.mean > distance_to_hull(candidate, competing).e_above_hull + 0.015


def test_the_numerical_derivatives_of_the_hull_are_the_fractions_of_the_decomposition():
    def distance(energies):
        known = [Phase('Li', energies[1]), Phase('O2', energies[2]), Phase('Li2O', energies[3])]
        return np.array([distance_to_hull(Phase('LiO', energies[0]), CompetingPhases(known)).e_above_hull])

    found = jacobian(distance, np.array([-1.0, 0.0, 0.0, -2.0]))
    np.testing.assert_allclose(found, [[1.0, 0.0, -0.25, -0.75]], atol=1e-8)


@pytest.mark.parametrize('errors', [np.zeros(2), np.zeros((3, 2)), np.array([0.1, np.nan, 0.1]), -np.eye(3)])
def test_errors_of_other_energies_are_refused(errors):
    with pytest.raises(InvalidInputError, match='are not σ or the covariance of 3 energies'):
        linear_sigma(np.ones((1, 3)), errors)


def test_one_draw_has_no_spread():
    with pytest.raises(InvalidInputError, match='at least 2 draws'):
        propagate(lambda energies: energies, np.zeros(2), np.ones(2), num_samples=1)
