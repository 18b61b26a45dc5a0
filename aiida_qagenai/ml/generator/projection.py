"""Hard constraint on distances: d ≥ scale · (r_i + r_j) for all pairs, images of the atom itself included.

That is a packing of hard spheres of radius scale · r. Pairs are pushed apart along their connection, a too short
lattice translation stretches the cell along itself, and a cell in which pushing does not help grows.
"""

from __future__ import annotations

import math
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.ml.generator.symmetry import Operations, symmetrise
from aiida_qagenai.ml.graph import neighbour_list

__all__ = ('VALID_SCALE', 'Held', 'Projection', 'closest_ratio', 'project')

VALID_SCALE = 0.8
"""Validation asks for d ≥ 0.8 (r_i + r_j) (paper 3.2.1)."""

MAX_ITERATIONS = 400
PATIENCE = 25
GROWTH = 1.02
MARGIN = 1e-6
DENSEST_PACKING = 0.74


class Projection(t.NamedTuple):
    """A structure that keeps the distances.

    :param cell: shape (3, 3), Å.
    :param fractional: in [0, 1), shape (n, 3).
    :param moved: whether anything had to change.
    """

    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    moved: bool


class Held(t.NamedTuple):
    """What of a structure does not move.

    :param atoms: how many of the first atoms.
    :param lattice: what of the cell, as in a :class:`~aiida_qagenai.exchange.masks.SiteMask`: a ``shape`` grows as a
        whole, a ``plane`` along its normal.
    """

    atoms: int
    lattice: t.Literal['free', 'shape', 'plane', 'fixed']


def closest_ratio(
    cell: NDArray[np.float64], species: NDArray[np.int64], fractional: NDArray[np.float64], limit: float = 1.5
) -> float:
    """Return the smallest d / (r_i + r_j) over all pairs, at most ``limit``."""
    pairs = _pairs(cell, _radii(species), fractional, limit)
    return float(min((pairs.distances / pairs.sums).min(initial=limit), limit))


def project(
    cell: NDArray[np.float64],
    species: NDArray[np.int64],
    fractional: NDArray[np.float64],
    scale: float,
    rng: np.random.Generator,
    *,
    operations: Operations | None = None,
    held: Held | None = None,
) -> Projection | None:
    """Return the nearest structure found that keeps d ≥ ``scale`` · (r_i + r_j), or None if none was found.

    :param species: atomic numbers, shape (n,).
    :param rng: decides the direction in which coinciding atoms part.
    :param operations: of a space group that is kept: the cell then grows instead of being stretched.
    :param held: atoms that do not move.
    """
    radii = _radii(species)
    cell, fractional = cell.copy(), wrap_into_cell(fractional)
    least = float(np.sum(4 / 3 * math.pi * (scale * radii) ** 3)) / DENSEST_PACKING
    volume = abs(float(np.linalg.det(cell)))
    moved = volume < least
    if moved:
        cell = _grown(cell, least / volume, held)
    for iteration in range(MAX_ITERATIONS):
        pairs = _pairs(cell, radii, fractional, scale)
        overlaps = scale * pairs.sums * (1 + MARGIN) - pairs.distances
        if not (pairs.distances < scale * pairs.sums).any():
            return Projection(cell, fractional, moved)
        moved = True
        own = pairs.i == pairs.j
        if (overlaps[own] > 0).any():
            if operations is None and (held is None or held.lattice == 'free'):
                cell = _stretch(cell, pairs, np.where(own, overlaps, -np.inf))
            else:
                worst = np.where(own, overlaps, 0.0).argmax()
                cell = _grown(cell, (1 + overlaps[worst] / pairs.distances[worst]) ** 3, held)
            continue
        fractional = _push(cell, fractional, pairs, overlaps, rng, held=0 if held is None else held.atoms)
        if operations is not None:
            fractional = wrap_into_cell(symmetrise(cell, fractional, operations)[1])
        if iteration >= PATIENCE:
            cell = _grown(cell, GROWTH, held)
    return None


def wrap_into_cell(fractional: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fractional coordinates in [0, 1)."""
    wrapped = fractional - np.floor(fractional)
    return np.where(wrapped >= 1.0, 0.0, wrapped)


class _Pairs(t.NamedTuple):
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    vectors: NDArray[np.float64]
    distances: NDArray[np.float64]
    sums: NDArray[np.float64]


def _radii(species: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([COVALENT_RADII[int(number)] for number in species])


def _pairs(
    cell: NDArray[np.float64], radii: NDArray[np.float64], fractional: NDArray[np.float64], scale: float
) -> _Pairs:
    """Return all directed pairs within ``scale`` times the largest sum of radii."""
    positions = fractional @ cell
    cutoff = scale * 2 * float(radii.max()) * (1 + 2 * MARGIN)
    i, j, shifts = neighbour_list(cell, positions, cutoff)
    vectors = positions[j] - positions[i] + shifts @ cell
    return _Pairs(i, j, vectors, np.linalg.norm(vectors, axis=1), radii[i] + radii[j])


def _grown(cell: NDArray[np.float64], factor: float, held: Held | None) -> NDArray[np.float64]:
    """Return the cell with ``factor`` times its volume, unless it is held."""
    if held is None or held.lattice in ('free', 'shape'):
        return cell * factor ** (1 / 3)
    return cell * np.array([[1], [1], [factor if held.lattice == 'plane' else 1]])


def _stretch(cell: NDArray[np.float64], pairs: _Pairs, overlaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cell stretched along its most severely short lattice translation."""
    worst = int(np.argmax(overlaps))
    direction = pairs.vectors[worst] / pairs.distances[worst]
    factor = (pairs.distances[worst] + overlaps[worst]) / pairs.distances[worst]
    return cell @ (np.eye(3) + (factor - 1) * np.outer(direction, direction))


def _push(
    cell: NDArray[np.float64],
    fractional: NDArray[np.float64],
    pairs: _Pairs,
    overlaps: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    held: int,
) -> NDArray[np.float64]:
    """Return coordinates after each atom moved away from every overlapping neighbour by half the overlap.

    :param held: how many of the first atoms do not move.
    """
    close = overlaps > 0
    i, vectors, distances = pairs.i[close], pairs.vectors[close], pairs.distances[close, None]
    directions = np.where(distances > 1e-6, vectors / np.maximum(distances, 1e-12), 0.0)
    moves = np.zeros_like(fractional)
    np.add.at(moves, i, -0.5 * overlaps[close, None] * directions)
    if (distances <= 1e-6).any():
        moves += 0.05 * rng.standard_normal(moves.shape)
    moves[:held] = 0.0
    return wrap_into_cell(fractional + moves @ np.linalg.inv(cell))
