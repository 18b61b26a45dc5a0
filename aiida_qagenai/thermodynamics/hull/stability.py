"""Classes of thermodynamic stability (paper Table 2, with the boundaries made exact).

The hull contains the candidate, so that E_hull ≥ 0 and "stable" means E_hull ≤ ε. A value on a boundary belongs to the
more stable class: 0.050 eV/atom is metastable and 0.100 eV/atom is marginally metastable.
"""

from __future__ import annotations

import math
import typing as t

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('MARGINAL_LIMIT', 'METASTABLE_LIMIT', 'STABLE_LIMIT', 'Stability', 'stability_class')

Stability = t.Literal['stable', 'metastable', 'marginally_metastable', 'unstable', 'unknown']

STABLE_LIMIT = 1e-6
"""ε, the largest E_hull that counts as on the hull, eV/atom."""

METASTABLE_LIMIT = 0.050
"""Largest E_hull of a metastable phase that is likely to be synthesizable, eV/atom."""

MARGINAL_LIMIT = 0.100
"""Largest E_hull of a marginally metastable phase, eV/atom."""

_ROUNDING = 1e-12  # so that 0.05 computed as a difference of energies still lies on the boundary


def stability_class(e_above_hull: float | None, *, tolerance: float = STABLE_LIMIT) -> Stability:
    """Return the class of a phase ``e_above_hull`` (eV/atom) above the hull that contains it; ``None`` is unknown.

    :param tolerance: ε, eV/atom.
    :raises InvalidInputError: if the distance is negative or not a number.
    """
    if e_above_hull is None:
        return 'unknown'
    if not (math.isfinite(e_above_hull) and e_above_hull >= 0):
        message = f'e_above_hull must be a number >= 0, not {e_above_hull}: the hull contains the candidate'
        raise InvalidInputError(message)
    if e_above_hull <= tolerance:
        return 'stable'
    if e_above_hull <= METASTABLE_LIMIT + _ROUNDING:
        return 'metastable'
    if e_above_hull <= MARGINAL_LIMIT + _ROUNDING:
        return 'marginally_metastable'
    return 'unstable'
