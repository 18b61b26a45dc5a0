"""Typed settings of the choice of a cycle, of what counts as a hit, and of when a campaign ends."""

from __future__ import annotations

import pydantic

from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.selection.acquisition import ARMS, DIVERGENCES
from aiida_qagenai.selection.stopping import (
    BudgetSpent,
    DiminishingReturns,
    EmptyCycles,
    FixedCycles,
    SigmaThreshold,
    StoppingRule,
)
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT

__all__ = ('SelectSettings', 'StopSettings')

HIGH_DIVERGENCE = 0.08
"""Difference between PBE and CCSD(T) of the high-divergence test set of the paper (4.4.1), eV/atom."""


class SelectSettings(StrictModel):
    """The acquisition and the budget of Algorithm 1."""

    acquisition: str = pydantic.Field('hybrid', description='Acquisition function: hybrid is 0.7 D + 0.3 U')
    divergence: str = pydantic.Field('absolute', description='Which D enters: absolute, relative or signed (Eqs 3–5)')
    num_clusters: int = pydantic.Field(50, ge=1, description='k of k-means')
    fraction: float = pydantic.Field(0.1, gt=0, le=1, description='Share of the remaining budget spent in a cycle')
    cap: int = pydantic.Field(20, ge=1, description='Most candidates computed in a cycle')
    max_atoms: pydantic.PositiveInt | None = pydantic.Field(
        None, description='Atoms per cell of what is computed, by default as many as of what is generated'
    )
    audit_fraction: float = pydantic.Field(0.2, ge=0, lt=1, description='Share of them drawn at random')
    hit_threshold: float = pydantic.Field(
        MARGINAL_LIMIT, ge=0, description='Largest computed distance to the hull of a hit, eV/atom'
    )
    divergence_threshold: float = pydantic.Field(
        HIGH_DIVERGENCE, gt=0, description='Smallest computed |E_PBE − E_top| of a divergence hit, eV/atom'
    )

    @pydantic.model_validator(mode='after')
    def _known(self) -> SelectSettings:
        """Check the names against what exists."""
        for name, value, known in (
            ('acquisition', self.acquisition, ARMS),
            ('divergence', self.divergence, DIVERGENCES),
        ):
            if value not in known:
                raise ValueError(f'unknown {name} `{value}`: choose from {", ".join(known)}')
        return self


class StopSettings(StrictModel):
    """When a campaign ends: with its budget, or by the first of the rules that are asked for."""

    max_cycles: int = pydantic.Field(ge=1, description='Rule A: most cycles')
    max_empty_cycles: int | None = pydantic.Field(
        3, ge=1, description='Rule C: cycles in a row without a computed hit; null to go on without any'
    )
    min_hit_rate_gain: float | None = pydantic.Field(
        None,
        ge=0,
        lt=1,
        description='Rule B: least growth of the share of hits among all calls so far, in one of `gain_cycles` cycles '
        'in a row (0.01 in the paper); off by default',
    )
    gain_cycles: int = pydantic.Field(2, ge=1, description='Cycles in a row that rule B looks at')
    min_sigma: pydantic.PositiveFloat | None = pydantic.Field(
        None,
        description='Rule D: mean predicted σ at the top rung of the eligible candidates below which a campaign ends, '
        'eV/atom (0.01 in the paper); off by default',
    )

    def rules(self) -> tuple[StoppingRule, ...]:
        """Return the rules, in the order in which they are asked."""
        rules: list[StoppingRule] = [FixedCycles(self.max_cycles), BudgetSpent()]
        if self.max_empty_cycles is not None:
            rules.append(EmptyCycles(self.max_empty_cycles))
        if self.min_hit_rate_gain is not None:
            rules.append(DiminishingReturns(self.min_hit_rate_gain, self.gain_cycles))
        if self.min_sigma is not None:
            rules.append(SigmaThreshold(self.min_sigma))
        return tuple(rules)
