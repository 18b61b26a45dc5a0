"""Tests for :mod:`aiida_qagenai.thermodynamics.hull.convex_hull`."""

import math

import numpy as np
import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import (
    CompetingPhases,
    Phase,
    distance_to_hull,
    stability_probability,
)

ELEMENTS = [Phase('Li', 0.0), Phase('O2', 0.0)]


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def test_certain_energies_give_zero_or_one():
    competing = CompetingPhases([*ELEMENTS, Phase('Li2O', -2.0)])
    assert stability_probability(Phase('LiO', -2.0), competing).probability == 1.0
    assert stability_probability(Phase('LiO', -1.0), competing).probability == 0.0


@pytest.mark.parametrize('sigma_phase', [0.0, 0.08])
def test_two_polymorphs_follow_the_normal_distribution(sigma_phase):
    competing = CompetingPhases([*ELEMENTS, Phase('LiO', -1.0, sigma=sigma_phase)])
    candidate = Phase('LiO', -0.95, sigma=0.06)
    estimate = stability_probability(candidate, competing, num_samples=4000, seed=3)
    expected = normal_cdf(-0.05 / math.hypot(0.06, sigma_phase))
    assert estimate.probability == pytest.approx(expected, abs=4 * estimate.standard_error)
    assert estimate.interval[0] == 0.0 < estimate.mean < estimate.interval[1]


def test_warm_starts_find_the_same_hull_as_cold_ones():
    rng = np.random.default_rng(0)
    phases = [Phase(e, 0.0, sigma=0.01) for e in ('Li', 'Fe', 'P', 'O2')]
    for _ in range(40):
        amounts = {str(e): int(rng.integers(1, 5)) for e in rng.choice(['Li', 'Fe', 'P', 'O'], 3, replace=False)}
        phases.append(Phase(amounts, float(rng.normal(-1, 0.5)), sigma=0.2))
    competing = CompetingPhases(phases)
    candidate = Phase('LiFePO4', -1.5)
    estimate = stability_probability(candidate, competing, num_samples=30, seed=7)
    system = competing.rivals(candidate)
    draws = np.random.default_rng(7)
    draws.normal(candidate.energy_per_atom, candidate.sigma, 30)
    total = 0.0
    for _ in range(30):
        energies = dict(zip(system.indices.tolist(), draws.normal(system.energies, system.sigmas), strict=True))
        shifted = CompetingPhases([Phase(p.formula, energies[i]) for i, p in enumerate(phases)])
        total += distance_to_hull(candidate, shifted).e_above_hull
    assert estimate.mean == pytest.approx(total / 30, abs=1e-9)


def test_an_impossible_composition_has_no_probability():
    assert stability_probability(Phase('LiF', -1.0), CompetingPhases(ELEMENTS)).probability is None


def test_the_number_of_samples_must_be_positive():
    with pytest.raises(InvalidInputError, match='num_samples'):
        stability_probability(Phase('LiO', -1.0), CompetingPhases(ELEMENTS), num_samples=0)
