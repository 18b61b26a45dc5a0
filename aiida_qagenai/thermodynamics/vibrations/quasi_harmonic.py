"""Quasi-harmonic free energy of a crystal: phonons at several volumes, the best volume at each temperature.

G(T) = min over V of [E(V) + F_vib(V, T)] at zero pressure, by a Vinet fit in V at every temperature. Left out are
phonon–phonon interaction at fixed volume, changes of the cell's shape other than those of E(V) at 0 K, electronic and
magnetic entropy, and configurational disorder.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import NotConvergedError
from aiida_qagenai.thermodynamics.vibrations.phonons import Phonons, find_phonons, supercell_divisions
from aiida_qagenai.thermodynamics.vibrations.relaxation import Relaxed, Report, quiet, relax
from aiida_qagenai.thermodynamics.vibrations.settings import (
    PhononSettings,
    RelaxSettings,
    TemperatureSettings,
    VolumeSettings,
)

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('FreeEnergy', 'QuasiHarmonic', 'VolumePoint', 'fit_volumes', 'free_energy')

MINIMUM_VOLUMES = 5
"""Fewest volumes without imaginary modes that a fit of four parameters is trusted with."""

MINIMUM_TEMPERATURES = 5
"""Fewest temperatures with a volume of lowest free energy that derivatives are taken from."""

LARGE_FIT_ERROR = 2e-3
"""A fit that misses an energy by more is remarked on: the potential is not smooth, or soft, eV/atom."""


@dataclasses.dataclass(frozen=True)
class VolumePoint:
    """One volume: static energy and phonons, both per atom.

    :param volume: Å3/atom.
    :param energy: static energy, eV/atom.
    """

    volume: float
    energy: float
    phonons: Phonons


@dataclasses.dataclass(frozen=True)
class QuasiHarmonic:
    """Properties at zero pressure along the temperatures, each of shape (T,).

    :param temperatures: K; cut where the crystal would outgrow the volumes computed.
    :param gibbs: Gibbs energy, eV/atom.
    :param volume: Å3/atom.
    :param bulk_modulus: isothermal, eV/Å3.
    :param expansion: volumetric thermal expansion coefficient, 1/K.
    :param entropy: eV/(K atom).
    :param heat_capacity_v: at the volume of that temperature, eV/(K atom).
    :param heat_capacity_p: C_V + α² B V T, eV/(K atom).
    :param fit_error: by how much the fit in the volume misses an energy, at most, eV/atom.
    """

    temperatures: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    volume: NDArray[np.float64]
    bulk_modulus: NDArray[np.float64]
    expansion: NDArray[np.float64]
    entropy: NDArray[np.float64]
    heat_capacity_v: NDArray[np.float64]
    heat_capacity_p: NDArray[np.float64]
    fit_error: float


@dataclasses.dataclass(frozen=True)
class FreeEnergy:
    """All that was found out about one crystal.

    :param temperatures: as asked for, K, shape (T,).
    :param harmonic: phonons at the relaxed volume, with bands.
    :param points: all volumes, ascending.
    :param quasi_harmonic: None where imaginary modes leave too few volumes.
    :param remarks: what a reader must know.
    """

    relaxed: Relaxed
    temperatures: NDArray[np.float64]
    harmonic: Phonons
    points: tuple[VolumePoint, ...]
    quasi_harmonic: QuasiHarmonic | None
    remarks: tuple[str, ...]

    @property
    def dynamically_stable(self) -> bool:
        """Return whether no mode at the relaxed volume is imaginary."""
        return self.harmonic.imaginary_fraction == 0.0


def free_energy(
    atoms: Atoms,
    calculator: t.Any,
    *,
    relaxation: RelaxSettings | None = None,
    phonons: PhononSettings | None = None,
    volumes: VolumeSettings | None = None,
    temperatures: TemperatureSettings | None = None,
    report: Report = quiet,
) -> FreeEnergy:
    """Relax a crystal and return its quasi-harmonic free energy on an ASE calculator.

    Imaginary modes are a result, not an error: volumes that have them take no part in the fit, and if the relaxed
    volume has them or too few volumes remain, ``quasi_harmonic`` is None and a remark says so.

    :param report: called after every step of a relaxation and every volume.
    :raises NotConvergedError: if a relaxation does not converge, or no energy minimum lies within the volumes.
    :raises InvalidInputError: if the supercell would be too large.
    """
    relaxation, phonons = relaxation or RelaxSettings(), phonons or PhononSettings()
    volumes, temperatures = volumes or VolumeSettings(), temperatures or TemperatureSettings()
    count = math.floor(temperatures.maximum / temperatures.step + 1e-9) + 1
    grid: NDArray[np.float64] = np.arange(count, dtype=np.float64) * temperatures.step
    relaxed = relax(atoms, calculator, relaxation, report=report)
    divisions = supercell_divisions(relaxed.atoms.cell.array, phonons.min_length)
    harmonic = find_phonons(relaxed.atoms, calculator, grid, phonons, with_bands=True, divisions=divisions)
    report('phonons at the relaxed volume', {'lowest': harmonic.lowest})
    if harmonic.imaginary_fraction:
        remark = (
            f'{100 * harmonic.imaginary_fraction:.2g} % of the modes at the relaxed volume are imaginary (lowest '
            f'{harmonic.lowest:.3g} THz): dynamically unstable, no free energy'
        )
        return FreeEnergy(relaxed, grid, harmonic, (), None, (remark,))
    points = []
    for strain in np.linspace(volumes.min_strain, volumes.max_strain, volumes.count):
        strained = relaxed.atoms.copy()
        strained.set_cell(strained.cell.array * (1 + strain), scale_atoms=True)
        found = relax(strained, calculator, relaxation, freedom='shape' if volumes.relax_shape else 'atoms')
        modes = find_phonons(found.atoms, calculator, grid, phonons, divisions=divisions)
        points.append(VolumePoint(found.atoms.get_volume() / len(atoms), found.energy / len(atoms), modes))
        report('volume', {'strain': float(strain), 'lowest': modes.lowest})
    fit, remarks = _conclude(points, grid)
    return FreeEnergy(relaxed, grid, harmonic, tuple(points), fit, remarks)


def _conclude(
    points: t.Sequence[VolumePoint], temperatures: NDArray[np.float64]
) -> tuple[QuasiHarmonic | None, tuple[str, ...]]:
    """Return the properties that the volumes give, if enough are free of imaginary modes, and remarks."""
    usable = [point for point in points if not point.phonons.imaginary_fraction]
    unstable = len(points) - len(usable)
    if len(usable) < MINIMUM_VOLUMES:
        remark = (
            f'{unstable} of {len(points)} volumes have imaginary modes; {len(usable)} are too few for a fit, '
            f'{MINIMUM_VOLUMES} needed: no free energy'
        )
        return None, (remark,)
    remarks = []
    if unstable:
        remarks.append(f'{unstable} of {len(points)} volumes have imaginary modes and were left out')
    fit = fit_volumes(usable, temperatures)
    if len(fit.temperatures) < len(temperatures):
        remarks.append(
            f'above {fit.temperatures[-1]:g} K the crystal outgrows the largest volume computed: '
            'raise max_strain for higher temperatures'
        )
    if fit.fit_error > LARGE_FIT_ERROR:
        remarks.append(f'the fit in the volume misses an energy by {1000 * fit.fit_error:.1f} meV/atom: distrust it')
    return fit, tuple(remarks)


def fit_volumes(points: t.Sequence[VolumePoint], temperatures: NDArray[np.float64]) -> QuasiHarmonic:
    """Return the properties at zero pressure from energies and phonons at several volumes.

    :param temperatures: those of the phonons, ascending and evenly spaced, K, shape (T,).
    :raises NotConvergedError: if the energy has no minimum within the volumes at the lowest temperatures.
    """
    from phonopy.qha.core import BulkModulus
    from phonopy.qha.eos import get_eos

    volumes = np.array([point.volume for point in points])
    static = np.array([point.energy for point in points])
    vibrational = np.stack([point.phonons.free_energy for point in points], axis=1)
    try:
        energies = static + vibrational
        fit = BulkModulus(volumes, energies, eos='vinet')
    except RuntimeError as exception:
        message = f'no equation of state fits the energies at volumes {volumes.min():.3f}–{volumes.max():.3f} Å3/atom'
        raise NotConvergedError(message, what='equilibrium') from exception
    best = np.asarray(fit.equilibrium_volume)
    inside = (best > volumes.min()) & (best < volumes.max())
    count = len(best) if inside.all() else int(np.argmin(inside))
    if count < MINIMUM_TEMPERATURES:
        message = (
            f'the volume of lowest free energy is {best[0]:.3f} Å3/atom at {temperatures[0]:g} K, not well within the '
            f'volumes computed, {volumes.min():.3f}–{volumes.max():.3f}: change min_strain and max_strain'
        )
        raise NotConvergedError(message, what='equilibrium')
    volume, kelvin = best[:count], temperatures[:count]
    modulus = np.asarray(fit.bulk_modulus)[:count]
    expansion = np.gradient(volume, kelvin, edge_order=2) / volume
    expansion[0] = 0.0  # the third law: volumes leave their value at 0 K as T⁴
    entropy = _at_volume(points, 'entropy', volumes, volume)
    parameters = np.stack(fit.get_parameters(), axis=1)[:count]
    errors = [get_eos('vinet')(volumes, row) - given for row, given in zip(parameters, energies, strict=False)]
    isochoric = _at_volume(points, 'heat_capacity', volumes, volume)
    return QuasiHarmonic(
        temperatures=kelvin,
        gibbs=np.asarray(fit.energy)[:count],
        volume=volume,
        bulk_modulus=modulus,
        expansion=expansion,
        entropy=entropy,
        heat_capacity_v=isochoric,
        heat_capacity_p=isochoric + expansion**2 * modulus * volume * kelvin,
        fit_error=float(np.abs(errors).max()),
    )


def _at_volume(
    points: t.Sequence[VolumePoint], name: str, volumes: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a property of the phonons at the volume ``wanted`` for each temperature, by a cubic in the volume."""
    values = np.stack([getattr(point.phonons, name) for point in points], axis=1)
    middle, width = volumes.mean(), np.ptp(volumes)
    fits = np.polynomial.polynomial.polyfit((volumes - middle) / width, values.T[:, : len(wanted)], deg=3)
    powers = ((wanted - middle) / width)[None, :] ** np.arange(4)[:, None]
    return t.cast(NDArray[np.float64], (fits * powers).sum(axis=0))
