"""A crystal as its space group, lattice parameters and one site per orbit, and back, exactly."""

from __future__ import annotations

import functools
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.symmetry import symmetry_dataset

__all__ = (
    'AsymmetricUnit',
    'SymmetricCrystal',
    'asymmetric_unit',
    'cell_of_parameters',
    'expand',
    'primitive_volume',
    'site_signatures',
    'space_group_number',
)

SAME_SITE = 0.03
"""Images of a site that are closer than this are one atom, Å: the coordinates are rounded, the site is special."""

SHELL = 1.15
"""Neighbours up to this many times the distance of the nearest one count as the first shell."""

_CENTRINGS = {
    'P': ((0, 0, 0),),
    'A': ((0, 0, 0), (0, 0.5, 0.5)),
    'B': ((0, 0, 0), (0.5, 0, 0.5)),
    'C': ((0, 0, 0), (0.5, 0.5, 0)),
    'I': ((0, 0, 0), (0.5, 0.5, 0.5)),
    'F': ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    'R': ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)),
}
_PRIMITIVE = {
    'P': ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    'A': ((1, 0, 0), (0, 0.5, 0.5), (0, -0.5, 0.5)),
    'B': ((0.5, 0, 0.5), (0, 1, 0), (-0.5, 0, 0.5)),
    'C': ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0, 1)),
    'I': ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
    'F': ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    'R': ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Vectors of a primitive cell as rows, in fractions of the conventional one."""


class AsymmetricUnit(t.NamedTuple):
    """A crystal in the setting ``hall_number`` of its conventional cell.

    :param hall_number: 1–530, as spglib counts them.
    :param parameters: a, b, c (Å), α, β, γ (degrees), shape (6,).
    :param species: atomic number of each orbit, shape (m,).
    :param sites: fractional coordinates of one atom of each orbit, shape (m, 3).
    """

    hall_number: int
    parameters: NDArray[np.float64]
    species: NDArray[np.int64]
    sites: NDArray[np.float64]


class SymmetricCrystal(t.NamedTuple):
    """A crystal in its reduced primitive cell, with the operations that map it onto itself.

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    :param species: shape (n,).
    :param fractional: shape (n, 3).
    :param orbits: which site of the asymmetric unit each atom belongs to, shape (n,).
    :param rotations: x → R x + t in fractional coordinates of this cell, shape (k, 3, 3).
    :param translations: shape (k, 3).
    """

    cell: NDArray[np.float64]
    species: NDArray[np.int64]
    fractional: NDArray[np.float64]
    orbits: NDArray[np.int64]
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]


def asymmetric_unit(
    cell: NDArray[np.float64], species: NDArray[np.int64], fractional: NDArray[np.float64], tolerance: float
) -> AsymmetricUnit | None:
    """Return the idealised asymmetric unit of a crystal; ``None`` where spglib finds no symmetry.

    :param tolerance: of distances, Å.
    """
    dataset = symmetry_dataset((cell, fractional, species), tolerance)
    if dataset is None:
        return None
    lattice = np.asarray(dataset.std_lattice)
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    parameters = np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))])
    positions, types = np.asarray(dataset.std_positions), np.asarray(dataset.std_types)
    rotations, translations = _operations(int(dataset.hall_number))
    chosen, free = [], np.ones(len(positions), dtype=bool)
    for index in range(len(positions)):
        if not free[index]:
            continue
        chosen.append(index)
        images = positions[index] @ np.swapaxes(rotations, 1, 2) + translations
        difference = positions[None] - images[:, None]
        difference -= np.round(difference)
        free[(np.linalg.norm(difference @ lattice, axis=-1) < max(tolerance, SAME_SITE)).any(0)] = False
    return AsymmetricUnit(int(dataset.hall_number), parameters, types[chosen].astype(np.int64), positions[chosen] % 1)


def expand(unit: AsymmetricUnit) -> SymmetricCrystal:
    """Return the crystal of an asymmetric unit in its reduced primitive cell.

    A site within ``SAME_SITE`` of a special position is moved onto it, so that the symmetry holds exactly.
    """
    rotations, translations = _operations(unit.hall_number)
    conventional = cell_of_parameters(unit.parameters)
    letter = _letter(unit.hall_number)
    primitive = np.array(_PRIMITIVE[letter], dtype=np.float64)
    basis = _reduced_basis(primitive @ conventional) @ primitive
    inverse = np.linalg.inv(basis)
    fractional: list[NDArray[np.float64]] = []
    orbits: list[int] = []
    for orbit, site in enumerate(unit.sites):
        images = _orbit(site, rotations, translations, conventional) @ inverse
        distinct = _distinct(images, basis @ conventional)
        fractional.extend(distinct % 1.0)
        orbits.extend([orbit] * len(distinct))
    # x_conv = basisᵀ x_prim, for columns
    moved = np.einsum('ij,kjl,lm->kim', inverse.T, rotations, basis.T)
    shifts = translations @ inverse
    keep = _unique_operations(moved, shifts)
    positions = np.array(fractional)
    return SymmetricCrystal(
        cell=basis @ conventional,
        species=unit.species[orbits],
        fractional=positions - np.floor(positions),
        orbits=np.array(orbits, dtype=np.int64),
        rotations=np.rint(moved[keep]).astype(np.int64),
        translations=shifts[keep] - np.floor(shifts[keep]),
    )


def site_signatures(unit: AsymmetricUnit) -> NDArray[np.int64]:
    """Return what tells the sites of a crystal apart whatever the origin is, for each orbit, shape (m, 3).

    The columns are atoms in the primitive cell, free coordinates (0–3), and the number of neighbours that are at most
    ``SHELL`` times as far as the nearest.
    """
    rotations, translations = _operations(unit.hall_number)
    cell = cell_of_parameters(unit.parameters)
    num_centrings = len(_CENTRINGS[_letter(unit.hall_number)])
    neighbors = _coordination(expand(unit), len(unit.sites))
    rows = []
    for site, coordination in zip(unit.sites, neighbors, strict=True):
        same = _same_site(site, rotations @ site + translations, cell)
        atoms = len(rotations) // (int(same.sum()) * num_centrings)
        rows.append((atoms, round(np.trace(rotations[same].mean(0))), coordination))
    return np.array(rows, dtype=np.int64)


def _coordination(crystal: SymmetricCrystal, num_orbits: int) -> list[int]:
    """Return the neighbours in the first shell of one atom of each orbit."""
    from pymatgen.core import Structure

    structure = Structure(crystal.cell, crystal.species, crystal.fractional)
    cutoff = 2.0 * (structure.volume / len(structure)) ** (1 / 3)
    first = np.searchsorted(crystal.orbits, np.arange(num_orbits))
    for _ in range(3):
        owners, _, _, distances = structure.get_neighbor_list(cutoff, exclude_self=True)
        found = [distances[owners == atom] for atom in first]
        if all(len(each) and each.min() * SHELL <= cutoff for each in found):
            break
        cutoff *= 1.5
    return [int((each <= SHELL * each.min()).sum()) if len(each) else 0 for each in found]


def primitive_volume(hall_number: int, parameters: NDArray[np.float64]) -> float:
    """Return the volume of the primitive cell, Å3, from the parameters of the conventional one."""
    return float(np.linalg.det(cell_of_parameters(parameters))) / len(_CENTRINGS[_letter(hall_number)])


@functools.lru_cache(maxsize=530)
def space_group_number(hall_number: int) -> int:
    """Return the space group, 1–230, of a setting."""
    import spglib

    return int(spglib.get_spacegroup_type(hall_number).number)


def cell_of_parameters(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lattice vectors as rows, a along x and b in the xy plane, from a, b, c (Å), α, β, γ (degrees)."""
    a, b, c = parameters[:3]
    alpha, beta, gamma = np.cos(np.radians(parameters[3:]))
    products = np.array([[a * a, a * b * gamma, a * c * beta], [0, b * b, b * c * alpha], [0, 0, c * c]])
    return np.linalg.cholesky(products + np.triu(products, 1).T)


def _reduced_basis(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integer matrix that takes the rows of ``cell`` to Niggli's reduced ones."""
    import spglib

    reduced = spglib.niggli_reduce(cell)
    return np.eye(3) if reduced is None else np.rint(reduced @ np.linalg.inv(cell))


@functools.lru_cache(maxsize=530)
def _operations(hall_number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import spglib

    found = spglib.get_symmetry_from_database(hall_number)
    return found['rotations'].astype(np.float64), np.asarray(found['translations'], dtype=np.float64)


@functools.lru_cache(maxsize=530)
def _letter(hall_number: int) -> str:
    """Return the centring of a setting, from its pure translations."""
    rotations, translations = _operations(hall_number)
    pure = translations[(rotations == np.eye(3)).all((1, 2))]
    for letter, vectors in _CENTRINGS.items():
        if len(vectors) == len(pure) and all(
            np.abs(pure - v - np.round(pure - v)).sum(1).min() < 1e-3 for v in vectors
        ):
            return letter
    raise ValueError(f'setting {hall_number} has a centring that is not known: {pure.tolist()}')


def _orbit(
    site: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the images of a site under all operations, after the mean over those that leave it where it is."""
    difference = rotations @ site + translations - site
    same = _same_site(site, rotations @ site + translations, cell)
    special = site + (difference - np.round(difference))[same].mean(0)
    moved: NDArray[np.float64] = rotations @ special + translations
    return moved


def _same_site(site: NDArray[np.float64], images: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which images of a site lie where it is."""
    difference = images - site
    same: NDArray[np.bool_] = np.linalg.norm((difference - np.round(difference)) @ cell, axis=1) < SAME_SITE
    return same


def _distinct(fractional: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions that are not translations of an earlier one by a lattice vector."""
    kept: list[NDArray[np.float64]] = []
    for position in fractional:
        if kept:
            difference = np.array(kept) - position
            difference -= np.round(difference)
            if np.linalg.norm(difference @ cell, axis=1).min() < SAME_SITE:
                continue
        kept.append(position)
    return np.array(kept)


def _unique_operations(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> NDArray[np.int64]:
    wrapped = np.round(translations - np.floor(translations), 4) % 1.0
    keys = np.concatenate([np.rint(rotations).reshape(len(rotations), 9), wrapped], axis=1)
    return np.sort(np.unique(keys, axis=0, return_index=True)[1])
