"""What a ladder of energies says: errors against experiment, orders of polymorphs, divergence, and doubts."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.evaluation.figures import Figure, bootstrap_interval, mean
from aiida_qagenai.thermodynamics.ladder.records import Ladder, LadderCrystal

__all__ = (
    'Divergence',
    'Doubt',
    'PolymorphPair',
    'by_class',
    'cohesive_errors',
    'composite_error',
    'correlations',
    'divergences',
    'doubts',
    'extrapolation_error',
    'polymorphs',
)

TOP = Fidelity.CCSD_T

SMALLEST_SAMPLE = 5
"""Crystals below which a correlation says nothing."""


def composite_error(crystal: LadderCrystal) -> float | None:
    """Return the standard error of the composite CCSD(T) energy of a crystal, eV/atom; None where there is none."""
    return crystal.per_atom(TOP, 'uncertainty')


def extrapolation_error(crystal: LadderCrystal) -> float | None:
    """Return the part of it that the extrapolations in mesh and basis estimate, eV/atom."""
    components = crystal.energies.get(TOP, {}).get('components', {})
    parts = [value for name, value in components.items() if name.endswith('_error')]
    return float(np.linalg.norm(parts)) / len(crystal.symbols) if parts else None


def cohesive_errors(ladder: Ladder) -> dict[Fidelity, Figure]:
    """Return the mean absolute error of cohesive energies against experiment by level, eV/atom."""
    found = {}
    for level in LADDER:
        errors = [
            abs(value - crystal.cohesive)
            for crystal in ladder.at_equilibrium().values()
            if crystal.cohesive is not None and (value := crystal.cohesive_energy(level)) is not None
        ]
        definition = 'mean |E_coh − experiment|, crystals at equilibrium with a measured value'
        found[level] = mean(f'ladder-cohesive-{level.label}', errors, definition)
    return found


@dataclasses.dataclass(frozen=True)
class PolymorphPair:
    """Two structures of one compound.

    :param stable: name of the structure that experiment finds at low pressure.
    :param differences: E(other) − E(stable), eV/atom, by level.
    :param error: standard error of the difference by CCSD(T), eV/atom: that of the extrapolations, which are
        independent; what is not extrapolated is taken to cancel.
    """

    stable: str
    other: str
    differences: Mapping[Fidelity, float]
    error: float | None

    def is_right(self, level: Fidelity) -> bool | None:
        """Return whether a level has the measured order; None where it has no energy."""
        return None if level not in self.differences else self.differences[level] > 0


def polymorphs(ladder: Ladder) -> list[PolymorphPair]:
    """Return the pairs of which both are computed on at least one level."""
    crystals, pairs = ladder.at_equilibrium(), []
    for name, crystal in crystals.items():
        if crystal.of is None or crystal.of not in crystals:
            continue
        energies = {level: (crystal.per_atom(level), crystals[crystal.of].per_atom(level)) for level in LADDER}
        differences = {
            level: other - stable
            for level, (other, stable) in energies.items()
            if other is not None and stable is not None
        }
        errors = [error for one in (crystal, crystals[crystal.of]) if (error := extrapolation_error(one)) is not None]
        error = float(np.linalg.norm(errors)) if len(errors) == 2 else None
        pairs.append(PolymorphPair(crystal.of, name, differences, error))
    return pairs


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Differences of two levels, eV/atom.

    :param signed: formation energy by PBE minus that by CCSD(T).
    :param relative: its absolute value over the standard error of CCSD(T), paper Eq 4.
    :param error: formation energy by PBE minus the measured one; None where that is unknown.
    """

    name: str
    compound_class: str
    signed: float
    relative: float
    error: float | None

    @property
    def absolute(self) -> float:
        """Paper Eq 3."""
        return abs(self.signed)


def divergences(ladder: Ladder, level: Fidelity = Fidelity.PBE) -> list[Divergence]:
    """Return the divergence of each crystal at equilibrium that has both levels."""
    found = []
    for name, crystal in ladder.at_equilibrium().items():
        low, high = (crystal.energies.get(one, {}).get('anchored') for one in (level, TOP))
        sigma = composite_error(crystal)
        if low is None or high is None or not sigma:
            continue
        signed = low - high
        measured = crystal.measured_formation
        error = None if measured is None else low - measured
        found.append(Divergence(name, crystal.compound_class, signed, abs(signed) / sigma, error))
    return found


def by_class(found: list[Divergence]) -> dict[str, list[Divergence]]:
    """Return divergences by class of compounds, in the order of the names."""
    classes: dict[str, list[Divergence]] = defaultdict(list)
    for one in found:
        classes[one.compound_class].append(one)
    return dict(sorted(classes.items()))


def correlations(found: list[Divergence]) -> dict[str, Figure]:
    """Return R² between a divergence and the error of PBE, both absolute, or both signed (paper Figure 9).

    :return: by ``absolute``, ``relative`` and ``signed``; the value is None with fewer than five crystals.
    """
    known = [one for one in found if one.error is not None]
    errors = np.array([one.error for one in known], dtype=np.float64)
    figures = {}
    for name in ('absolute', 'relative', 'signed'):
        values = np.array([getattr(one, name) for one in known], dtype=np.float64)
        target = errors if name == 'signed' else np.abs(errors)
        enough = len(known) >= SMALLEST_SAMPLE
        rows = np.stack([values, target], axis=-1) if enough else np.zeros((0, 2))
        value = float(_squared_correlation(rows)) if enough else None
        interval = _interval(rows) if enough else None
        definition = f'R² of the {name} divergence of PBE and CCSD(T) and the error of PBE against experiment'
        figures[name] = Figure(f'ladder-r2-{name}', value, interval, None, len(known), definition)
    return figures


@dataclasses.dataclass(frozen=True)
class Doubt:
    """What speaks about the reliability of a CCSD(T) energy.

    :param t1: T1 diagnostic of CCSD.
    :param gap: at PBE on its mesh, eV.
    :param limits: error of the extrapolations of Hartree-Fock and MP2 in mesh and basis, eV/atom.
    :param flags: names of what is beyond its limit.
    """

    name: str
    t1: float | None
    gap: float | None
    limits: float | None
    flags: tuple[str, ...]


def doubts(ladder: Ladder) -> list[Doubt]:
    """Return the diagnostics of each crystal with CCSD(T)."""
    found = []
    for name, crystal in ladder.crystals.items():
        if TOP not in crystal.energies:
            continue
        top = crystal.energies[TOP]
        t1, gap = top.get('t1_diagnostic'), crystal.energies.get(Fidelity.PBE, {}).get('band_gap')
        limits = extrapolation_error(crystal)
        flags = {
            'T1 > 0.02': t1 is not None and t1 > 0.02,
            'gap < 1 eV': gap is not None and gap < 1,
            'extrapolation > 0.1 eV/atom': limits is not None and limits > 0.1,
        }
        found.append(Doubt(name, t1, gap, limits, tuple(text for text, beyond in flags.items() if beyond)))
    return found


def _squared_correlation(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R² of pairs, shape (…, n, 2)."""
    centred = rows - rows.mean(axis=-2, keepdims=True)
    first, second = centred[..., 0], centred[..., 1]
    scale = (first**2).sum(axis=-1) * (second**2).sum(axis=-1)
    result: NDArray[np.float64] = (first * second).sum(axis=-1) ** 2 / np.where(scale > 0, scale, np.nan)
    return result


def _interval(rows: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the bootstrap interval of R², crystals drawn with their pairs."""
    index = np.arange(len(rows), dtype=np.float64)
    return bootstrap_interval(index, lambda drawn, axis=-1: _squared_correlation(rows[drawn.astype(int)]))
