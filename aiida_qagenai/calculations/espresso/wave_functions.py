"""Quantum descriptors of what pw.x leaves in its folder: a script for the machine that it ran on.

    python wave_functions.py INPUTS RESULTS

It needs numpy, and PySCF for the weights of s, p and d; nothing of this package. INPUTS is a JSON file with ``folder``
(``aiida.save``), ``symbols`` and ``positions`` (bohr), ``valence`` (electrons of each element) and ``basis``. Densities
are made with the symmetry of the crystal from the stored part of the mesh. The formulas are those of a PySCF job.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import sys
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HARTREE_TO_EV = 27.211386245988
BOHR_TO_ANGSTROM = 0.529177210903
ELF_BINS = 10
LOST = 1e-3
"""Share of the electrons by which the density of the orbitals may differ from the stored one."""

MARGIN = 4
"""Reciprocal lattice vectors that a product of two orbitals can be displaced by."""

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]


class UnreadableError(Exception):
    """What pw.x left cannot be read."""


class Records:
    """The records of a sequential unformatted file of Fortran, one after the other."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UnreadableError(f'pw.x has left no {path.name}: it has to write its orbitals, and not as HDF5')
        self.content, self.place = path.read_bytes(), 0

    def next(self, kind: str) -> NDArray[t.Any]:
        """Return the numbers of a record."""
        length = int(np.frombuffer(self.content, '<i4', 1, self.place)[0])
        found = np.frombuffer(self.content, kind, length // np.dtype(kind).itemsize, self.place + 4)
        self.place += length + 8
        return found


class Run:
    """A finished calculation of pw.x: cell in bohr, energies in Ha, k-points in units of the reciprocal cell.

    ``energies`` and ``occupations`` (electrons) are of shape (k, bands), one for each density.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / 'data-file-schema.xml'
        if not path.exists():
            raise UnreadableError(f'pw.x has left no {path.name}')
        output = _find(ET.parse(path).getroot(), 'output')
        structure, bands = _find(output, 'atomic_structure'), _find(output, 'band_structure')
        self.cell = np.array([_floats(structure, f'cell/a{index}') for index in (1, 2, 3)])
        self.volume = abs(float(np.linalg.det(self.cell)))
        self.reciprocal = 2 * np.pi * np.linalg.inv(self.cell).T
        grid = _find(output, 'basis_set/fft_grid')
        self.grid = tuple(int(grid.attrib[f'nr{index}']) for index in (1, 2, 3))
        mesh = _find(bands, 'starting_k_points/monkhorst_pack')
        self.mesh = np.array([int(mesh.attrib[f'nk{index}']) for index in (1, 2, 3)])
        self.shift = np.array([int(mesh.attrib[f'k{index}']) for index in (1, 2, 3)]) / 2
        self.spin_polarized = bands.findtext('lsda') == 'true'
        states = bands.findall('ks_energies')
        unit = 2 * np.pi / float(structure.attrib['alat'])
        self.kpoints = np.array([_floats(state, 'k_point') for state in states]) * unit @ self.cell.T / (2 * np.pi)
        weights = np.array([float(_find(state, 'k_point').attrib['weight']) for state in states])
        self.weights = weights / weights.sum()
        self.energies = self._of_each_density([_floats(state, 'eigenvalues') for state in states])
        filling = 1 if self.spin_polarized else 2
        occupations = self._of_each_density([_floats(state, 'occupations') for state in states])
        self.occupations = [filling * each for each in occupations]
        self.operations = [
            (np.rint(_floats(one, 'rotation').reshape(3, 3)).astype(int), -_floats(one, 'fractional_translation'))
            for one in output.findall('symmetries/symmetry')
            if (one.findtext('info') or '').strip() == 'crystal_symmetry'
        ]
        """Rotations R and translations t in units of the cell: x becomes R x + t."""

    def _of_each_density(self, values: list[Array]) -> list[Array]:
        return np.split(np.array(values), 2, axis=1) if self.spin_polarized else [np.array(values)]

    @functools.cached_property
    def top(self) -> float:
        """Return the highest occupied level, Ha; a level is occupied from half an electron on, one without spin."""
        return max(float(part[full].max()) for part, full in self._filled() if full.any())

    @functools.cached_property
    def bottom(self) -> float:
        """Return the lowest empty level, Ha."""
        return min((float(part[~full].min()) for part, full in self._filled() if not full.all()), default=math.inf)

    def _filled(self) -> list[tuple[Array, NDArray[np.bool_]]]:
        half = 0.5 if self.spin_polarized else 1.0
        return [(part, filling >= half) for part, filling in zip(self.energies, self.occupations, strict=True)]

    @functools.cache  # noqa: B019 # one run is read in the life of the script
    def states(self, index: int, density: int) -> tuple[Integers, Complex]:
        """Return Miller indices, shape (n, 3), and coefficients, shape (bands, n), of a stored k-point."""
        letters = ('up', 'dw')[density] if self.spin_polarized else ''
        records = Records(self.folder / f'wfc{letters}{index + 1}.dat')
        if records.next('<i4')[-3]:
            raise UnreadableError('of the point Γ alone pw.x stores half of the coefficients')
        bands = records.next('<i4')[3]
        records.next('<f8')
        millers = records.next('<i4').reshape(-1, 3).astype(int)
        return millers, np.array([records.next('<c16') for _ in range(bands)])

    def densities(self) -> list[Complex]:
        """Return each density in reciprocal space on the grid, e/bohr³."""
        records = Records(self.folder / 'charge-density.dat')
        records.next('<i4'), records.next('<f8')
        places = tuple((records.next('<i4').reshape(-1, 3) % self.grid).T)
        parts = []
        for _ in self.occupations:
            part = np.zeros(self.grid, complex)
            part[places] = records.next('<c16')
            parts.append(part)
        # The second one that is stored is the magnetisation.
        return [(parts[0] + parts[1]) / 2, (parts[0] - parts[1]) / 2] if self.spin_polarized else parts

    def in_space(self, millers: Integers, coefficients: Complex) -> Complex:
        """Return a function on the grid in real space."""
        box = np.zeros(self.grid, complex)
        box[tuple((millers % self.grid).T)] = coefficients
        return np.fft.ifftn(box, norm='forward')

    def symmetrised(self, values: Array) -> Array:
        """Return the mean of a field over the operations of the crystal.

        It is that of its plane waves: a rotation may take points of the grid to places between them.
        """
        axes = [np.rint(np.fft.fftfreq(count, 1 / count)).astype(int) for count in self.grid]
        millers = np.array(np.meshgrid(*axes, indexing='ij')).reshape(3, -1)
        limits = np.array(self.grid)[:, None] / 2
        waves, total = np.fft.fftn(values, norm='forward').ravel(), np.zeros(self.grid, complex)
        for rotation, translation in self.operations:
            turned = rotation.T @ millers
            # Beyond the sphere of the density, where nothing is, the box does not have the symmetry.
            inside = (np.abs(turned) < limits).all(axis=0)
            phases = np.exp(2j * np.pi * translation @ millers[:, inside])
            total[tuple(turned[:, inside] % np.array(self.grid)[:, None])] += waves[inside] * phases
        return _real(total) / len(self.operations)


def _find(element: ET.Element, path: str) -> ET.Element:
    found = element.find(path)
    if found is None:
        raise UnreadableError(f'the file of pw.x has no `{path}`')
    return found


def _floats(element: ET.Element, path: str) -> Array:
    return np.array((_find(element, path).text or '').split(), dtype=float)


def describe(inputs: dict[str, t.Any], folder: Path) -> dict[str, float]:
    """Return all descriptors that the run has."""
    run = Run(folder)
    num_core = num_frozen_core(inputs['symbols'], inputs['valence'])
    return {
        'band_gap': max(0.0, (run.bottom - run.top) * HARTREE_TO_EV),
        **describe_levels(run, num_core),
        **describe_orbitals(run, num_core, inputs),
        **describe_density(run),
        **describe_response(run),
    }


def num_frozen_core(symbols: list[str], valence: dict[str, float]) -> int:
    """Return how many of the lowest orbitals are of the frozen core that pseudopotentials leave, as in a PySCF job."""
    from pyscf.data import elements

    total = 0
    for symbol in symbols:
        number = elements.charge(symbol)
        core = 0 if number <= 2 else 1 if number <= 10 else 5 if number <= 18 else elements.chemcore_atm[number]
        total += max(0, core - (number - round(valence[symbol])) // 2)
    return total


def moments(values: Array, weights: Array) -> tuple[float, float, float]:
    """Return the weighted mean, standard deviation and skewness."""
    weights = weights / weights.sum()
    mean = float(weights @ values)
    deviation = math.sqrt(max(0.0, float(weights @ (values - mean) ** 2)))
    return mean, deviation, float(weights @ (values - mean) ** 3) / deviation**3 if deviation > 1e-6 else 0.0


def describe_levels(run: Run, num_core: int) -> dict[str, float]:
    """Return the moments (eV) of the occupied density of states, from the top of the valence band."""
    energies = np.concatenate([part[:, num_core:].ravel() for part in run.energies])
    weights = np.concatenate([(run.weights[:, None] * part)[:, num_core:].ravel() for part in run.occupations])
    found = moments((energies - run.top) * HARTREE_TO_EV, weights)
    return dict(zip(('dos_mean', 'dos_std', 'dos_skewness'), found, strict=True))


def describe_orbitals(run: Run, num_core: int, inputs: dict[str, t.Any]) -> dict[str, float]:
    """Return the same of s, p and d, by the weights of Mulliken in the projection on a minimal Gaussian basis.

    Nothing where an element has no such basis.
    """
    from pyscf.gto.basis import BasisNotFoundError
    from pyscf.pbc import gto
    from pyscf.pbc.df.ft_ao import ft_ao

    atoms = list(zip(inputs['symbols'], inputs['positions'], strict=True))
    try:
        cell = gto.M(a=run.cell, unit='B', atom=atoms, basis=inputs['basis'], spin=None, verbose=0)
    except BasisNotFoundError:
        return {}
    angular = np.array([label[2][1] for label in cell.ao_labels(fmt=None)])
    parts: dict[str, list[Array]] = {name: [] for name in 'spd'}
    levels = []
    for density, occupations in enumerate(run.occupations):
        for index, weight in enumerate(run.weights):
            millers, coefficients = run.states(index, density)
            waves, kpoint = millers @ run.reciprocal, run.kpoints[index] @ run.reciprocal
            functions = ft_ao(cell, waves, kpt=kpoint)
            projected = functions.conj().T @ coefficients[num_core:].T
            overlap = functions.conj().T @ functions
            populations = np.real(np.linalg.solve(overlap, projected).conj() * projected)
            levels.append(run.energies[density][index, num_core:])
            for name, found in parts.items():
                found.append(populations[angular == name].sum(axis=0) * occupations[index, num_core:] * weight)
    shifted = (np.concatenate(levels) - run.top) * HARTREE_TO_EV
    weights = {name: np.concatenate(found) for name, found in parts.items()}
    total, values = sum(each.sum() for each in weights.values()), {}
    for name, each in weights.items():
        values[f'dos_{name}_fraction'] = float(each.sum() / total)
        # Without functions of that kind, or none of them filled, there is nothing to average.
        if values[f'dos_{name}_fraction'] > 1e-3:
            values[f'dos_{name}_mean'], values[f'dos_{name}_std'], _ = moments(shifted, each)
    return values


def describe_density(run: Run) -> dict[str, float]:
    """Return the ELF histogram (fractions of the volume) and statistics of the Laplacian (e/Å⁵).

    M. Kohout and A. Savin, Int. J. Quantum Chem. 60, 875 (1996).

    :raises UnreadableError: if the orbitals do not give the density that is stored.
    """
    kinetic, charge = _from_orbitals(run)
    densities, millers = run.densities(), np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in run.grid], indexing='ij')
    waves = np.tensordot(run.reciprocal.T, np.array(millers), axes=1)
    stored = _real(sum(densities[1:], densities[0]))
    if np.abs(charge - stored).sum() > LOST * stored.sum():
        raise UnreadableError('the orbitals of pw.x do not give its density: only norm-conserving ones do')
    laplacian = _real(-(waves**2).sum(axis=0) * sum(densities[1:], densities[0])) / BOHR_TO_ANGSTROM**5
    excess, uniform = kinetic, np.zeros(run.grid)
    for part in densities:
        density = np.maximum(_real(part), 1e-12)
        excess = excess - sum(_real(1j * wave * part) ** 2 for wave in waves) / (8 * density)
        uniform += 0.3 * (3 * math.pi**2 * len(densities)) ** (2 / 3) * density ** (5 / 3)
    histogram, _ = np.histogram(1 / (1 + (excess / uniform) ** 2), bins=ELF_BINS, range=(0, 1))
    values = {f'elf_{index}': float(number / stored.size) for index, number in enumerate(histogram)}
    return {**values, 'laplacian_abs_mean': float(np.abs(laplacian).mean()), 'laplacian_std': float(laplacian.std())}


def _real(part: Complex) -> Array:
    return np.fft.ifftn(part, norm='forward').real


def _from_orbitals(run: Run) -> tuple[Array, Array]:
    """Return the density of the kinetic energy (Ha/bohr³) and that of the electrons (1/bohr³) on the grid."""
    kinetic, charge = np.zeros(run.grid), np.zeros(run.grid)
    for density, occupations in enumerate(run.occupations):
        for index, weight in enumerate(run.weights):
            millers, coefficients = run.states(index, density)
            slopes = 1j * (millers + run.kpoints[index]) @ run.reciprocal
            filled = occupations[index] * weight / run.volume
            for coefficient, occupation in zip(coefficients, filled, strict=True):
                if abs(occupation) > 1e-10:
                    charge += occupation * np.abs(run.in_space(millers, coefficient)) ** 2
                    for slope in slopes.T:
                        kinetic += 0.5 * occupation * np.abs(run.in_space(millers, slope * coefficient)) ** 2
    return run.symmetrised(kinetic), run.symmetrised(charge)


class Place(t.NamedTuple):
    """Where the states of a point of the full mesh come from."""

    stored: int
    rotation: Integers
    translation: Array
    sign: int
    kpoint: Array

    @classmethod
    def of_mesh(cls, run: Run) -> dict[tuple[int, ...], Place]:
        """Return the place of every point of the mesh by its steps.

        :raises UnreadableError: if the symmetry does not give all of them.
        """
        found: dict[tuple[int, ...], Place] = {}
        for (index, kpoint), (rotation, translation) in itertools.product(enumerate(run.kpoints), run.operations):
            turned = kpoint @ np.linalg.inv(rotation)
            for sign in (1, -1):
                steps = sign * turned * run.mesh - run.shift
                if np.abs(steps - np.rint(steps)).max() < 1e-4:
                    key = tuple(int(step) for step in np.rint(steps).astype(int) % run.mesh)
                    found.setdefault(key, cls(index, rotation, translation, sign, sign * turned))
        if len(found) != np.prod(run.mesh):
            raise UnreadableError(
                f'of {np.prod(run.mesh)} k-points {len(found)} follow by symmetry from the stored ones'
            )
        return found

    def states(self, run: Run, density: int, box: tuple[int, ...]) -> Complex:
        """Return the orbitals in reciprocal space in a box, of the shape of the box for each band."""
        millers, coefficients = run.states(self.stored, density)
        inverse = np.linalg.inv(self.rotation)
        turned = np.rint(millers @ inverse).astype(int)
        phases = np.exp(-2j * np.pi * ((turned + run.kpoints[self.stored] @ inverse) @ self.translation))
        coefficients = coefficients * phases
        if self.sign < 0:
            turned, coefficients = -turned, coefficients.conj()
        boxes = np.zeros((len(coefficients), *box), complex)
        boxes[(slice(None), *(turned % box).T)] = coefficients
        return boxes


def wave_vectors(run: Run) -> list[Integers]:
    """Return the shortest and the longest wave vector of the mesh in the first zone, in steps; none of one point."""
    images, found = np.array(list(itertools.product((-1, 0, 1), repeat=3))), []
    for steps in itertools.product(*map(range, run.mesh)):
        vectors = np.array(steps) / run.mesh - np.rint(np.array(steps) / run.mesh) + images
        lengths = np.linalg.norm(vectors @ run.reciprocal, axis=1)
        if lengths.min() > 1e-6:
            found.append((round(float(lengths.min()), 8), tuple(np.rint(vectors[lengths.argmin()] * run.mesh))))
    found.sort()
    return [np.array(each[1], dtype=int) for each in (found[0], found[-1])] if found else []


def response_box(run: Run) -> tuple[int, ...]:
    """Return the size of a box that holds the orbitals of all points of the mesh, and their products."""
    waves = (run.states(index, 0)[0] + run.kpoints[index] for index in range(len(run.kpoints)))
    longest = max(np.linalg.norm(each @ run.reciprocal, axis=1).max() for each in waves)
    halves = np.ceil(longest * np.linalg.norm(run.cell, axis=1) / (2 * np.pi)) + MARGIN
    return tuple(int(2 * half + 1) for half in halves)


def describe_response(run: Run) -> dict[str, float]:
    """Return −χ0(q), 1/(eV Å³), at the shortest and the longest wave vector of the mesh, over the bands that there are.

    ``χ0(q) = 1/(N_k Ω) Σ (f_n − f_m)/(ε_n − ε_m) |<m,k+q|exp(iqr)|n,k>|²``, f between 0 and 2.
    """
    places, values = Place.of_mesh(run), {}
    box = response_box(run)
    for name, steps in zip(('chi0_q_min', 'chi0_q_max'), wave_vectors(run), strict=False):
        total = 0.0
        for density, (key, here) in itertools.product(range(len(run.energies)), places.items()):
            there = places[tuple(int(step) for step in (np.array(key) + steps) % run.mesh)]
            umklapp = np.rint(here.kpoint + steps / run.mesh - there.kpoint).astype(int)
            one, other = here.states(run, density, box), there.states(run, density, box)
            other = np.roll(other, tuple(-umklapp), axis=(1, 2, 3))
            elements = other.reshape(len(other), -1).conj() @ one.reshape(len(one), -1).T
            energies, occupations = run.energies[density], run.occupations[density]
            differences = energies[here.stored][None, :] - energies[there.stored][:, None]
            filling = occupations[here.stored][None, :] - occupations[there.stored][:, None]
            distinct = np.abs(differences) > 1e-6
            total += float((np.abs(elements[distinct]) ** 2 * filling[distinct] / differences[distinct]).sum())
        values[name] = -total / (len(places) * run.volume) / HARTREE_TO_EV / BOHR_TO_ANGSTROM**3
    return values


def main(inputs: str, results: str) -> None:
    """Describe, and write what came out or why there is nothing."""
    given = json.loads(Path(inputs).read_text(encoding='utf-8'))
    try:
        content: dict[str, t.Any] = {'status': 'finished', 'descriptors': describe(given, Path(given['folder']))}
    except UnreadableError as exception:
        content = {'status': 'unreadable', 'message': str(exception)}
    Path(results).write_text(json.dumps(content), encoding='utf-8')


if __name__ == '__main__':
    main(*sys.argv[1:])
