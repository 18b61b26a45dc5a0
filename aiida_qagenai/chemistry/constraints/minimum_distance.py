"""No two atoms closer than a fraction of the sum of their covalent radii (paper section 3.2.1)."""

from __future__ import annotations

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('GENERATION_ALPHA', 'VALIDATION_ALPHA', 'MinimumDistance')

GENERATION_ALPHA = 0.7
VALIDATION_ALPHA = 0.8

SEARCH_RATIO = 1.3
"""Distances are searched up to this many sums of radii; the value saturates there."""


class MinimumDistance:
    """d_ij ≥ α (r_i + r_j) for all pairs, self-images included, with the radii of Pyykkö and Atsumi.

    The value is the smallest d_ij / (r_i + r_j), at most ``SEARCH_RATIO``.

    :param alpha: the threshold; by default 0.7 while generating and 0.8 afterwards.
    """

    name = 'minimum_distance'
    stages: tuple[Stage, ...] = ('generation', 'validation', 'final')

    def __init__(self, alpha: float | None = None) -> None:
        if alpha is not None and not 0 < alpha <= SEARCH_RATIO:
            message = f'alpha must lie in (0, {SEARCH_RATIO}], not {alpha}'
            raise InvalidInputError(message)
        self.alpha = alpha

    def check(self, crystal: Crystal, stage: Stage) -> Verdict:
        """Return the verdict on the closest contact."""
        alpha = self.alpha or (GENERATION_ALPHA if stage == 'generation' else VALIDATION_ALPHA)
        first, second, _, distance = crystal.neighbors
        ratios = distance / (crystal.radii[first] + crystal.radii[second])
        closest = int(ratios.argmin()) if len(ratios) else -1
        value = min(float(ratios[closest]), SEARCH_RATIO) if len(ratios) else SEARCH_RATIO
        if value >= alpha:
            return Verdict(self.name, value, alpha, 'pass', stage)
        i, j = int(first[closest]), int(second[closest])
        reason = f'{crystal.symbols[i]}{i}–{crystal.symbols[j]}{j} are {distance[closest]:.3f} Å apart'
        return Verdict(self.name, value, alpha, 'fail', stage, reason)
