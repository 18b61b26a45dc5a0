"""Distance to the hull of Gibbs energies at every temperature (paper 3.3.3)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import HullResult, distance_to_hull
from aiida_qagenai.thermodynamics.hull.phases import CompetingPhases, Phase

__all__ = ('GibbsCurve', 'gibbs_hull')


@dataclasses.dataclass(frozen=True)
class GibbsCurve:
    """Gibbs energy of one phase at zero pressure.

    :param identifier: a name or uuid, different for every phase.
    :param level: what computed it; a hull never mixes two.
    :param temperatures: ascending, K, shape (T,).
    :param gibbs: eV/atom, shape (T,).
    :param static: energy at 0 K without vibrations, by the same potential, eV/atom.
    """

    formula: str
    identifier: str
    level: str
    temperatures: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    static: float

    def with_static(self, energy: float, level: str) -> GibbsCurve:
        """Return the curve with its static energy replaced by one of a better level of theory.

        :param energy: eV/atom; total, or of formation: the hull is the same, if all phases have the same kind.
        """
        return dataclasses.replace(
            self, gibbs=self.gibbs - self.static + energy, static=energy, level=f'{level} + vibrations by {self.level}'
        )


def gibbs_hull(
    candidates: Sequence[GibbsCurve], competing: Sequence[GibbsCurve]
) -> tuple[NDArray[np.float64], dict[str, list[HullResult]]]:
    """Return the temperatures that all curves share, and for each candidate its place on the hull at each of them.

    The hull at every temperature holds all candidates and competing phases, the elements included: one that has no
    curve makes the hull incomplete, which the results say. Gibbs energies of gases are not quasi-harmonic: give no
    curve for O2 or N2, or one from tables.

    :returns: temperatures, shape (T,), and identifier → one result per temperature.
    :raises InvalidInputError: if levels are mixed, identifiers repeat, or no temperature is common to all.
    """
    curves = {curve.identifier: curve for curve in (*candidates, *competing)}
    if len(curves) < len(candidates) + len(competing):
        raise InvalidInputError('every phase of a hull needs an identifier of its own')
    temperatures = _common([curve.temperatures for curve in curves.values()])
    results: dict[str, list[HullResult]] = {curve.identifier: [] for curve in candidates}
    for temperature in temperatures:
        phases = {name: _phase(curve, float(temperature)) for name, curve in curves.items()}
        known = CompetingPhases(phases.values())
        for candidate in candidates:
            results[candidate.identifier].append(distance_to_hull(phases[candidate.identifier], known))
    return temperatures, results


def _phase(curve: GibbsCurve, temperature: float) -> Phase:
    index = int(np.argmin(np.abs(curve.temperatures - temperature)))
    return Phase(curve.formula, float(curve.gibbs[index]), identifier=curve.identifier, level=curve.level)


def _common(grids: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    if not grids:
        raise InvalidInputError('a hull needs at least one phase with a Gibbs energy')
    common: NDArray[np.float64] = functools.reduce(np.intersect1d, [np.round(grid, 6) for grid in grids])
    if not len(common):
        raise InvalidInputError('the phases have no temperature in common: compute all with the same settings')
    return common
