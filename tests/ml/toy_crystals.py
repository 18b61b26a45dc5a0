"""A made-up Li–H world for tests and benchmarks: strained prototypes with an analytic energy, never physics.

PBE is a Morse pair potential; every higher level adds an offset per element and a small multiple of the Li–H part, so
that a model can learn both a reference and a structure-dependent divergence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.io.dataset import LabelledBatch
from aiida_qagenai.io.structures import StructureBatch

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
BCC = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
HCP = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.633]])
THIRD = 1 / 3

# name → (cell in units of a, a in Å, species, fractional coordinates)
PROTOTYPES: dict[str, tuple[NDArray[np.float64], float, list[int], list[list[float]]]] = {
    'rocksalt': (FCC, 4.05, [3, 1], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'zincblende': (FCC, 4.5, [3, 1], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    'cscl': (np.eye(3), 2.5, [3, 1], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'wurtzite': (
        HCP,
        3.2,
        [3, 3, 1, 1],
        [[THIRD, 2 * THIRD, 0], [2 * THIRD, THIRD, 0.5], [THIRD, 2 * THIRD, 0.375], [2 * THIRD, THIRD, 0.875]],
    ),
    'fluorite': (FCC, 4.6, [3, 1, 1], [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]),
    'antifluorite': (FCC, 4.9, [1, 3, 3], [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]),
    'bcc-li': (BCC, 3.44, [3], [[0, 0, 0]]),
}
FORMULAS = {(3, 1): 'LiH', (3, 3, 1, 1): 'LiH', (3, 1, 1): 'LiH2', (1, 3, 3): 'Li2H', (3,): 'Li'}

# depth (eV), minimum (Å), stiffness (1/Å)
MORSE = {(1, 1): (0.05, 2.3, 1.4), (1, 3): (0.35, 2.0, 1.2), (3, 3): (0.08, 3.0, 1.0)}
CUTOFF = 5.0
ELEMENT_OFFSETS = {1: (0.0, 0.05, 0.12, 0.20), 3: (0.0, -0.03, -0.05, -0.10)}
LI_H_FACTORS = (0.0, 0.03, 0.05, 0.10)


def pair_energies(
    cell: NDArray[np.float64], species: NDArray[np.int64], fractional: NDArray[np.float64]
) -> dict[tuple[int, int], float]:
    """Return the energy per cell of each kind of pair, eV, by direct summation over images."""
    images = np.array(np.meshgrid(*[np.arange(-4, 5)] * 3)).reshape(3, -1).T
    energies = dict.fromkeys(MORSE, 0.0)
    for i, a in enumerate(species):
        for j, b in enumerate(species):
            distances = np.linalg.norm((fractional[j] - fractional[i] + images) @ cell, axis=1)
            distances = distances[(distances > 1e-8) & (distances < CUTOFF)]
            key = (min(a, b), max(a, b))
            depth, minimum, stiffness = MORSE[key]
            decay = np.exp(-stiffness * (distances - minimum))
            smooth = (1 - (distances / CUTOFF) ** 2) ** 3
            energies[key] += 0.5 * float(np.sum(depth * (decay**2 - 2 * decay) * smooth))
    return energies


def label(
    cell: NDArray[np.float64], species: NDArray[np.int64], fractional: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the made-up formation energy on each level, shape (4,), eV/atom."""
    pairs = pair_energies(cell, species, fractional)
    total = sum(pairs.values())
    levels = [
        total + sum(ELEMENT_OFFSETS[int(z)][level] for z in species) + LI_H_FACTORS[level] * pairs[(1, 3)]
        for level in range(4)
    ]
    return np.array(levels) / len(species)


def describe(cell: NDArray[np.float64], species: NDArray[np.int64]) -> list[float]:
    """Return made-up descriptors that depend on composition and density."""
    hydrogen = float(np.mean(species == 1))
    density = len(species) / abs(float(np.linalg.det(cell)))
    elf = np.exp(-0.5 * ((np.arange(10) - 3 - 40 * density * hydrogen) / 2.0) ** 2)
    values = {f'elf_{index}': value for index, value in enumerate(elf / elf.sum())}
    values |= {
        'band_gap': 6 * hydrogen * (1 - hydrogen) * 4 * density / 0.12,
        'dos_mean': -3 - hydrogen,
        'dos_std': 1 + density,
        'dos_skewness': 0.5 - hydrogen,
        'dos_s_fraction': 0.9 - 0.2 * hydrogen,
        'dos_p_fraction': 0.1 + 0.2 * hydrogen,
        'laplacian_abs_mean': 10 * density,
        'laplacian_std': 20 * density,
        'chi0_q_min': density,
        'chi0_q_max': 2 * density,
    }
    return pack(values)


def toy_structures(count: int, seed: int = 0, names: tuple[str, ...] = tuple(PROTOTYPES)) -> StructureBatch:
    """Return ``count`` strained and perturbed prototypes."""
    rng = np.random.default_rng(seed)
    cells, species, fractional, num_atoms, identifiers = [], [], [], [], []
    for index in range(count):
        name = names[index % len(names)]
        shape, length, numbers, coordinates = PROTOTYPES[name]
        strain = np.eye(3) + 0.02 * rng.standard_normal((3, 3))
        cell = shape * length * rng.uniform(0.94, 1.08) @ (0.5 * (strain + strain.T))
        moved = np.array(coordinates, dtype=float) + 0.06 * rng.standard_normal((len(numbers), 3)) @ np.linalg.inv(cell)
        cells.append(cell)
        species.extend(numbers)
        fractional.append(moved % 1.0)
        num_atoms.append(len(numbers))
        identifiers.append(f'{name}-{index}')
    return StructureBatch(
        num_atoms=np.array(num_atoms),
        cells=np.array(cells),
        species=np.array(species),
        fractional=np.concatenate(fractional),
        identifiers=np.array(identifiers),
    )


def toy_dataset(
    count: int = 40, high: int = 10, seed: int = 0, names: tuple[str, ...] = tuple(PROTOTYPES)
) -> LabelledBatch:
    """Return a labelled set: PBE for all, the higher levels for ``high`` of them, spread evenly."""
    structures = toy_structures(count, seed, names)
    offsets = structures.offsets
    energies = np.full((count, 4), np.nan)
    descriptors = np.full((count, NUM_DESCRIPTORS), np.nan)
    groups = []
    with_high = set(np.linspace(0, count - 1, high).astype(int)) if high else set()
    for index in range(count):
        atoms = slice(offsets[index], offsets[index + 1])
        numbers = structures.species[atoms]
        levels = label(structures.cells[index], numbers, structures.fractional[atoms])
        energies[index, 0] = levels[0]
        if index in with_high:
            energies[index, 1:] = levels[1:]
        descriptors[index] = describe(structures.cells[index], numbers)
        groups.append(FORMULAS[tuple(int(number) for number in numbers)])
    split = np.zeros(count, dtype=np.int8)
    split[4::10] = 1
    split[9::10] = 2
    return LabelledBatch(structures, energies, descriptors, np.array(groups), split)
