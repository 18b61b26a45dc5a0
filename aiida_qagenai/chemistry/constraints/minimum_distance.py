"""No two atoms are closer than a fraction of the length of their shortest bond (paper section 3.2.1)."""

from __future__ import annotations

from aiida_qagenai.chemistry.constraints.base import Stage, Verdict
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.chemistry.radii import CONTACT_LENGTHS
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('GENERATION_ALPHA', 'VALIDATION_ALPHA', 'MinimumDistance')

GENERATION_ALPHA = 0.7
VALIDATION_ALPHA = 0.8

SEARCH_RATIO = 1.3
"""Distances are searched up to this many contact lengths; the value saturates there."""


class MinimumDistance:
    """d_ij ≥ α l_ij for all pairs, self-images included.

    The contact length l_ij is r_i + r_j, the sum of the single-bond radii of Pyykkö and Atsumi, and less for pairs that
    form multiple bonds (N≡N, C≡C, C≡N, U=O; see :data:`~aiida_qagenai.chemistry.radii.CONTACT_LENGTHS`). The value is
    the smallest d_ij / l_ij, at most ``SEARCH_RATIO``.

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
        ratios = distance / CONTACT_LENGTHS[crystal.numbers[first], crystal.numbers[second]]
        closest = int(ratios.argmin()) if len(ratios) else -1
        value = min(float(ratios[closest]), SEARCH_RATIO) if len(ratios) else SEARCH_RATIO
        if value >= alpha:
            return Verdict(self.name, value, alpha, 'pass', stage)
        i, j = int(first[closest]), int(second[closest])
        reason = f'{crystal.symbols[i]}{i}–{crystal.symbols[j]}{j} are {distance[closest]:.3f} Å apart'
        return Verdict(self.name, value, alpha, 'fail', stage, reason)
