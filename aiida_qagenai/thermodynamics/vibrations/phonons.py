"""Harmonic phonons of a crystal by finite displacements, through phonopy, on an ASE calculator.

Frequencies are in THz; an imaginary one is given as a negative number, as usual. Dipole–dipole interactions (the
splitting of longitudinal from transverse optical modes at Γ) are what the potential makes of them: no Born charges.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
import warnings

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.units import KJ_PER_MOL_TO_EV
from aiida_qagenai.thermodynamics.vibrations.relaxation import finite_forces
from aiida_qagenai.thermodynamics.vibrations.settings import PhononSettings

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('Bands', 'Phonons', 'find_phonons', 'gamma_displacements', 'gamma_frequencies', 'supercell_divisions')

DOS_POINTS = 201
SYMMETRY_PRECISION = 1e-3
"""Å: what relaxations at PBE leave of the symmetry."""
LOWEST_FREQUENCY = 0.01
"""Modes below it, the acoustic ones at Γ, are left out of thermal properties, where they diverge; THz."""


@dataclasses.dataclass(frozen=True)
class Bands:
    """Dispersion and density of states.

    :param distances: position along the path, shape (q,), 1/Å.
    :param frequencies: shape (q, branches), THz.
    :param ticks: positions of the labelled points, shape (p,).
    :param labels: their names, shape (p,).
    :param dos_frequencies: shape (d,), THz.
    :param dos: states per THz and atom, shape (d,).
    """

    distances: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    ticks: NDArray[np.float64]
    labels: tuple[str, ...]
    dos_frequencies: NDArray[np.float64]
    dos: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Phonons:
    """Phonons at one volume, sampled on a mesh.

    :param lowest: lowest frequency on the mesh, THz.
    :param imaginary_fraction: share of the modes of the mesh that are imaginary.
    :param left_out_fraction: share that no thermal property counts: imaginary or of almost zero frequency.
    :param free_energy: vibrational part, zero-point energy included, shape (T,), eV/atom.
    :param entropy: shape (T,), eV/(K atom).
    :param heat_capacity: at constant volume, shape (T,), eV/(K atom).
    :param num_displacements: supercells whose forces were computed.
    :param supercell_atoms: atoms in each.
    :param bands: where they were asked for.
    """

    lowest: float
    imaginary_fraction: float
    left_out_fraction: float
    free_energy: NDArray[np.float64]
    entropy: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]
    num_displacements: int
    supercell_atoms: int
    bands: Bands | None = None


def supercell_divisions(cell: NDArray[np.float64], min_length: float) -> tuple[int, int, int]:
    """Return how often each lattice vector is repeated so that opposite faces are ``min_length`` apart at least.

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(cell)), axis=0)
    first, second, third = (max(1, math.ceil(min_length / height - 1e-6)) for height in heights)
    return first, second, third


def find_phonons(
    atoms: Atoms,
    calculator: t.Any,
    temperatures: NDArray[np.float64],
    settings: PhononSettings | None = None,
    *,
    with_bands: bool = False,
    divisions: tuple[int, int, int] | None = None,
) -> Phonons:
    """Return the phonons of a relaxed crystal and their thermal properties.

    :param temperatures: K, shape (T,).
    :param with_bands: whether to compute bands and density of states, too.
    :param divisions: repetitions of the cell; by default from ``min_length``. Give the same to all volumes.
    :raises InvalidInputError: if the supercell would be too large.
    :raises FloatingPointError: if the potential gives forces that are not finite.
    """
    from ase import Atoms as AseAtoms

    settings = settings or PhononSettings()
    divisions = divisions or supercell_divisions(atoms.cell.array, settings.min_length)
    count = len(atoms) * math.prod(divisions)
    if count > settings.max_atoms:
        message = (
            f'the supercell {"×".join(map(str, divisions))} has {count} atoms, more than max_atoms '
            f'{settings.max_atoms}: lower min_length ({settings.min_length:g} Å) or raise max_atoms'
        )
        raise InvalidInputError(message)
    phonon = _phonopy(atoms, divisions, 'auto', settings.symmetry_precision)
    phonon.generate_displacements(distance=settings.displacement)
    forces: list[NDArray[np.float64]] = []
    for supercell in phonon.supercells_with_displacements:
        displaced = AseAtoms(supercell.symbols, cell=supercell.cell, scaled_positions=supercell.scaled_positions)
        displaced.pbc = True
        displaced.calc = calculator
        forces.append(finite_forces(displaced))
    _set_forces(phonon, forces)
    phonon.run_mesh(settings.mesh_length)
    return _collect(phonon, temperatures, settings, num_displacements=len(forces), with_bands=with_bands)


def gamma_displacements(atoms: Atoms, displacement: float) -> list[NDArray[np.float64]]:
    """Return the Cartesian positions, each of shape (n, 3), Å, whose forces give the phonons at Γ.

    Displacing an atom in the cell displaces all its images, which is what happens at Γ: no supercell is needed.

    :param atoms: a relaxed crystal.
    :param displacement: Å.
    """
    phonon = _phonopy(atoms, (1, 1, 1), np.eye(3), SYMMETRY_PRECISION)
    phonon.generate_displacements(distance=displacement)
    return [np.asarray(cell.positions) for cell in phonon.supercells_with_displacements]


def gamma_frequencies(atoms: Atoms, displacement: float, forces: t.Sequence[NDArray[np.float64]]) -> list[float]:
    """Return the frequencies at Γ but the three acoustic ones, in ascending order, THz; imaginary ones negative.

    :param forces: on the atoms, eV/Å, each of shape (n, 3), in the order of :func:`gamma_displacements`.
    """
    phonon = _phonopy(atoms, (1, 1, 1), np.eye(3), SYMMETRY_PRECISION)
    phonon.generate_displacements(distance=displacement)
    _set_forces(phonon, forces)
    phonon.run_qpoints([[0.0, 0.0, 0.0]])
    frequencies = sorted(np.asarray(phonon.qpoints.frequencies)[0].tolist(), key=abs)
    return sorted(frequencies[3:])


def _set_forces(phonon: t.Any, forces: t.Sequence[NDArray[np.float64]]) -> None:
    # A sum that is not zero is an error of the potential's arithmetic.
    phonon.forces = np.array([found - found.mean(axis=0) for found in forces])
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants()


def _phonopy(atoms: Atoms, divisions: tuple[int, int, int], primitive: t.Any, symmetry_precision: float) -> t.Any:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    unit = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions()
    )
    with warnings.catch_warnings():
        # It reminds users of version 3 that this is the default now.
        warnings.filterwarnings('ignore', message='primitive_matrix defaulted')
        return Phonopy(
            unit, supercell_matrix=np.diag(divisions), primitive_matrix=primitive, symprec=symmetry_precision
        )


def _collect(
    phonon: t.Any,
    temperatures: NDArray[np.float64],
    settings: PhononSettings,
    *,
    num_displacements: int,
    with_bands: bool,
) -> Phonons:
    frequencies = np.asarray(phonon.mesh.frequencies)
    weights = np.asarray(phonon.mesh.weights, dtype=np.float64)
    weights = weights / weights.sum()
    imaginary = weights @ (frequencies < -settings.imaginary_tolerance).mean(axis=1)
    left_out = weights @ (frequencies <= LOWEST_FREQUENCY).mean(axis=1)
    phonon.run_thermal_properties(temperatures=temperatures, cutoff_frequency=LOWEST_FREQUENCY)
    thermal = phonon.thermal_properties
    per_atom = KJ_PER_MOL_TO_EV / len(phonon.primitive)
    return Phonons(
        lowest=float(frequencies.min()),
        imaginary_fraction=float(imaginary),
        left_out_fraction=float(left_out),
        free_energy=np.asarray(thermal.free_energy) * per_atom,
        entropy=np.asarray(thermal.entropy) * per_atom / 1000,
        heat_capacity=np.asarray(thermal.heat_capacity) * per_atom / 1000,
        num_displacements=num_displacements,
        supercell_atoms=len(phonon.supercell),
        bands=_bands(phonon, settings) if with_bands else None,
    )


def _bands(phonon: t.Any, settings: PhononSettings) -> Bands:
    """Return bands along the path of seekpath and the density of states of the mesh."""
    from phonopy.phonon.band_structure import get_band_qpoints_by_seekpath

    with warnings.catch_warnings():
        # seekpath reads spglib's answer as a dictionary.
        warnings.simplefilter('ignore', DeprecationWarning)
        paths, names, connections = get_band_qpoints_by_seekpath(phonon.primitive, settings.band_points)
    phonon.run_band_structure(paths, path_connections=connections, labels=names)
    found = phonon.band_structure
    distances = [np.asarray(part) for part in found.distances]
    ticks, labels = _ticks(distances, list(names), list(connections))
    phonon.run_total_dos()
    dos = phonon.total_dos
    points = np.asarray(dos.frequency_points)
    wanted = np.linspace(points.min(), points.max(), DOS_POINTS)
    density = np.interp(wanted, points, dos.dos) / len(phonon.primitive)
    return Bands(
        distances=np.concatenate(distances),
        frequencies=np.concatenate([np.asarray(part) for part in found.frequencies]),
        ticks=ticks,
        labels=labels,
        dos_frequencies=wanted,
        dos=density,
    )


def _ticks(
    distances: list[NDArray[np.float64]], names: list[str], connections: list[bool]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return where the path has its labelled points; two names share one where the path jumps."""
    plain = [name.replace('$', '').replace(r'\Gamma', 'Γ').replace(r'\mathrm', '').strip('{}') for name in names]
    ticks, labels = [float(distances[0][0])], [plain[0]]
    position = 1
    for part, connected in zip(distances, connections, strict=True):
        ticks.append(float(part[-1]))
        labels.append(plain[position])
        position += 1
        if not connected and position < len(plain):
            labels[-1] += f'|{plain[position]}'
            position += 1
    return np.array(ticks), tuple(labels)
