"""What pw.x says at its end, in the words of the results of a PySCF job."""

from __future__ import annotations

import re
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.calculations.espresso.parameters import PwParameters
from aiida_qagenai.chemistry.collinear import moment_warnings, name_ordering

__all__ = ('band_edges', 'error_text', 'filled_levels', 'normalise_results')

COMPONENTS = {
    'one_electron': 'energy_one_electron',
    'hartree': 'energy_hartree',
    'exchange_correlation': 'energy_xc',
    'ewald': 'energy_ewald',
    'one_center_paw': 'energy_one_center_paw',
    'hubbard': 'energy_hubbard',
    'smearing': 'energy_smearing',
}
"""Parts of the total energy, eV, and what aiida-quantumespresso calls them."""

WHOLE = 0.05
"""Deviation of the number of filled levels from a whole one, by what smearing leaves of the moment."""

ERROR = re.compile(r'Error in routine\s+(\S+)\s*\((-?\d+)\):\s*\n\s*(.*?)\s*\n\s*%%%', re.DOTALL)

WITHOUT_LIBXC = 'this pw.x was built without libxc, which SCAN needs: build it with libxc, or use the engine pyscf'
HINTS = {
    'libxc needed': WITHOUT_LIBXC,
    'libxc is not active': WITHOUT_LIBXC,
    'input syntax has changed': 'pw.x from version 7.1 on reads U from a card: set `hubbard_card: true`',
}
"""What helps against an error of pw.x that does not say so itself."""


def error_text(stdout: str) -> str | None:
    """Return the error that stopped pw.x and what helps against it, or None where the output shows none."""
    found = ERROR.search(stdout)
    if found is None:
        return None
    text = ' '.join(found[3].split())
    hints = (hint for phrase, hint in HINTS.items() if phrase in text)
    return '; '.join([f'pw.x stopped in {found[1]}: {text}', *hints])


def normalise_results(
    parameters: PwParameters,
    output: t.Mapping[str, t.Any],
    *,
    bands: NDArray[np.float64] | None,
    occupations: NDArray[np.float64] | None,
    site_moments: t.Sequence[float] | None,
    cost: t.Mapping[str, float],
) -> dict[str, t.Any]:
    """Return results that an :class:`~aiida_qagenai.calculations.pyscf.results.EnergyResults` reads.

    :param output: ``output_parameters`` of aiida-quantumespresso.
    :param bands: eV, of shape (k, n), or (2, k, n) with two spins.
    :param occupations: of the same shape; up to 2 without spin.
    :param site_moments: μB in spheres around the sites.
    :param cost: ``core_hours`` and ``wall_seconds`` of all attempts.
    """
    warnings: list[tuple[int, str]] = []
    moments = [float(moment) for moment in site_moments] if site_moments is not None else None
    if not parameters.spin_polarized and round(float(output['number_of_electrons'])) % 2:
        warnings.append((707, 'odd number of electrons per cell, computed without spin polarisation'))
    if parameters.moments is not None and moments is not None:
        warnings += moment_warnings(parameters.moments, moments)
    energies = {name: float(output[key]) for name, key in COMPONENTS.items() if output.get(key) is not None}
    if abs(sum(energies.values()) - output['energy']) > 1e-3:
        # Of a hybrid, aiida-quantumespresso reads the parts of an earlier step.
        energies = {}
    values: dict[str, t.Any] = {
        'status': 'finished',
        'stage': 'finished',
        'fidelity': parameters.fidelity.value,
        'versions': {'Quantum ESPRESSO': str(output.get('creator_version', 'unknown'))},
        'scf_converged': True,
        'scf_cycles': output.get('scf_iterations') or None,
        'scf_thresholds': {'conv_thr_rydberg': parameters.conv_thr},
        'total_energy': output['energy'],
        'components': energies,
        'num_kpoints': output.get('number_of_k_points'),
        'num_electrons': round(float(output['number_of_electrons'])),
        'kmesh': list(parameters.kmesh),
        'kmesh_shift': list(parameters.kmesh_shift),
        'warnings': [text for _, text in warnings],
        'warning_codes': [code for code, _ in warnings],
        'spin_polarized': parameters.spin_polarized,
        **cost,
    }
    if bands is not None and occupations is not None:
        values.update(band_edges(bands, occupations, filled_levels(output, parameters.spin_polarized)))
    if parameters.spin_polarized:
        total = float(output['total_magnetization'])
        values.update(
            total_moment=total,
            absolute_moment=float(output['absolute_magnetization']),
            initial_moments=parameters.moments,
            site_moments=moments,
            magnetic_ordering=name_ordering(moments, total) if moments else None,
            spin=parameters.spin,
        )
    return {name: value for name, value in values.items() if value is not None}


def filled_levels(output: t.Mapping[str, t.Any], spin_polarized: bool) -> list[float]:
    """Return how many levels the electrons of each spin fill at every k-point, a whole number in an insulator.

    :param output: ``output_parameters`` of aiida-quantumespresso.
    """
    electrons = float(output['number_of_electrons'])
    moment = float(output['total_magnetization']) if spin_polarized else 0.0
    return [(electrons + moment) / 2, (electrons - moment) / 2][: 2 if spin_polarized else 1]


def band_edges(
    bands: NDArray[np.float64], occupations: NDArray[np.float64], filled: t.Sequence[float] = ()
) -> dict[str, t.Any]:
    """Return the gap over all spins and of each spin, the valence band maximum (eV), and the number of occupied bands.

    A level counts as occupied from half its electrons on; where their number varies between k-points there is no gap.
    With cold smearing the Fermi level can lie at the edge of a band although there is a gap (more than one conserves
    the number of electrons): what levels they fill goes before.

    :param filled: from :func:`filled_levels`.
    """
    spins, shares = (values[None] if values.ndim == 2 else values for values in (bands, occupations))
    full = 2.0 if len(spins) == 1 else 1.0
    counts = [(shares[spin] > full / 2).sum(axis=1) for spin in range(len(spins))]
    for spin, number in enumerate(filled):
        whole = np.full_like(counts[spin], round(number))
        below, above = _edges(spins[spin], whole)
        if abs(number - round(number)) < WHOLE and below < above:
            counts[spin] = whole
    edges = [_edges(levels, number) for levels, number in zip(spins, counts, strict=True)]
    valence, conduction = max(top for top, _ in edges), min(bottom for _, bottom in edges)
    metallic = any(len(set(number.tolist())) > 1 for number in counts)
    gap = 0.0 if metallic else max(0.0, conduction - valence)
    values: dict[str, t.Any] = {
        'band_gap': gap if np.isfinite(gap) else None,
        'valence_band_maximum': valence if np.isfinite(valence) else None,
        'num_occupied_per_k': counts[0].tolist(),
    }
    if len(spins) == 2:
        values['num_occupied_per_k_down'] = counts[1].tolist()
        for name, (top, bottom), number in zip(('up', 'down'), edges, counts, strict=True):
            own = 0.0 if len(set(number.tolist())) > 1 else max(0.0, bottom - top)
            values[f'band_gap_{name}'] = own if np.isfinite(own) else None
    return values


def _edges(levels: NDArray[np.float64], number: NDArray[np.int64]) -> tuple[float, float]:
    """Return the highest occupied and the lowest empty level, eV; infinite where there is none."""
    occupied = [row[count - 1] for row, count in zip(levels, number, strict=True) if count]
    empty = [row[count] for row, count in zip(levels, number, strict=True) if count < len(row)]
    return float(max(occupied, default=-np.inf)), float(min(empty, default=np.inf))
