"""Probability that a candidate is stable when energies are uncertain."""

from __future__ import annotations

import dataclasses

import numpy as np

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase
from aiida_qagenai.thermodynamics.hull.simplex import solve
from aiida_qagenai.thermodynamics.hull.stability import STABLE_LIMIT

__all__ = ('StabilityEstimate', 'stability_probability')


@dataclasses.dataclass(frozen=True)
class StabilityEstimate:
    """The distribution of a distance to the hull.

    :param probability: P(E_hull ≤ tolerance), ``None`` where the competing phases cannot express the composition.
    :param standard_error: of the probability, from the number of samples.
    :param mean: mean of E_hull, eV/atom.
    :param interval: 5 % and 95 % quantiles of E_hull, eV/atom.
    :param num_samples: draws.
    """

    probability: float | None
    standard_error: float | None
    mean: float | None
    interval: tuple[float, float] | None
    num_samples: int


def stability_probability(
    candidate: Phase,
    competing: CompetingPhases,
    *,
    tolerance: float = STABLE_LIMIT,
    num_samples: int = 1000,
    seed: int = 0,
) -> StabilityEstimate:
    """Return P(E_hull ≤ ``tolerance``) by drawing all energies from independent normal distributions.

    Independence is an assumption: errors that a model shares between similar phases cancel in E_hull, so that the
    spread given here is an upper bound where errors are positively correlated.

    :param candidate: its ``sigma`` and those of the competing phases are the standard deviations, eV/atom.
    :param tolerance: ε, eV/atom.
    :raises InvalidInputError: if ``num_samples`` is not positive, or levels of theory are mixed.
    """
    if num_samples < 1:
        message = f'num_samples must be at least 1, not {num_samples}'
        raise InvalidInputError(message)
    system = competing.rivals(candidate)
    target = system.target(candidate)
    central = solve(system.fractions, system.energies, target)
    if central is None:
        return StabilityEstimate(None, None, None, None, num_samples)
    rng = np.random.default_rng(seed)
    own = rng.normal(candidate.energy_per_atom, candidate.sigma, num_samples)
    if system.sigmas.any():
        hull = np.empty(num_samples)
        for sample in range(num_samples):
            solution = solve(system.fractions, rng.normal(system.energies, system.sigmas), target, central.columns)
            hull[sample] = np.nan if solution is None else solution.cost
    else:
        hull = np.full(num_samples, central.cost)
    distances = np.maximum(0.0, own - hull)
    probability = float((distances <= tolerance).mean())
    return StabilityEstimate(
        probability=probability,
        standard_error=float(np.sqrt(probability * (1 - probability) / num_samples)),
        mean=float(distances.mean()),
        interval=(float(np.quantile(distances, 0.05)), float(np.quantile(distances, 0.95))),
        num_samples=num_samples,
    )
