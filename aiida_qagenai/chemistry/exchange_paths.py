"""Which magnetic sites are coupled, to put the likely orderings first: a ranking, no energy.

Exchange through an anion is strongest and antiferromagnetic along a straight bridge (J. B. Goodenough, Phys. Rev. 100,
564, 1955; J. Kanamori, J. Phys. Chem. Solids 10, 87, 1959): each bridge counts with the squared cosine of its angle.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.geometry import neighbors
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.chemistry.superlattices import Hermite, Superlattice

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('ExchangePaths', 'exchange_paths')

BOND = 1.3
"""A magnetic site and an anion are bonded up to this many sums of their covalent radii."""

DIRECT = 0.1
"""Weight of a pair of neighbours without a bridge, relative to a straight one."""

NEAR = 1.15
"""Neighbours are the pairs up to this many times the shortest distance."""

SHELLS = 6
"""Shells of neighbours whose correlations tell orderings of equal rank apart."""

_SAME = 0.02
"""Distances that differ by less belong to one shell, Å."""


@dataclasses.dataclass(frozen=True)
class ExchangePaths:
    """Pairs of magnetic sites of a primitive cell.

    :param first: number of the first site among the magnetic ones, shape (p,).
    :param second: of the second, shape (p,).
    :param shift: lattice vector from the first to the second, shape (p, 3).
    :param weights: how much each pair counts: in one row the coupling, in the others membership in a shell of
        neighbours, shape (1 + shells, p).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shift: NDArray[np.int64]
    weights: NDArray[np.float64]

    def rank(self, form: Hermite, signs: NDArray[np.int64]) -> tuple[float, ...]:
        """Return numbers that are smaller for likely orderings: the coupling energy, and correlations of shells.

        :param signs: ±1 of the magnetic sites of the supercell.
        """
        lattice = Superlattice.of(form)
        table = signs.reshape(-1, len(lattice))
        places = lattice.coset_of(lattice.cosets[:, None] + self.shift[None])
        products = (table[self.first].T * table[self.second[None], places]).mean(axis=0)
        return tuple(float(value) for value in (self.weights @ products).round(6))

    def strongest(self) -> NDArray[np.int64]:
        """Return signs in the primitive cell whose coupling no change of one sign lowers, by a fixed search."""
        couplings = np.zeros((int(self.first.max()) + 1,) * 2)
        np.add.at(couplings, (self.first, self.second), self.weights[0])
        np.fill_diagonal(couplings, 0.0)
        best = np.ones(len(couplings), dtype=np.int64)
        for start in range(len(couplings)):
            signs = np.ones(len(couplings), dtype=np.int64)
            signs[start] = -1
            while (gains := signs * (couplings @ signs)).max() > 1e-9:
                signs[int(gains.argmax())] *= -1
            if signs @ couplings @ signs < best @ couplings @ best - 1e-9:
                best = signs
        return best * best[0]


def exchange_paths(cell: Structure, sites: Sequence[int]) -> ExchangePaths:
    """Return the pairs of the magnetic ``sites`` of a primitive cell that couple, and shells of neighbours."""
    place = {site: number for number, site in enumerate(sites)}
    pairs = _magnetic_pairs(cell, place)
    shells = _shells(pairs.distance)
    coupling = DIRECT * (pairs.distance < NEAR * pairs.distance.min())
    keys = list(zip(pairs.first.tolist(), pairs.second.tolist(), map(tuple, pairs.image.tolist()), strict=True))
    index = {key: number for number, key in enumerate(keys)}
    for key, weight in _bridges(cell, place).items():
        if key in index:
            coupling[index[key]] += weight
    weights = np.stack([coupling, *(1.0 * (shells == shell) for shell in range(SHELLS))])
    first, second = (
        np.array([place[int(site)] for site in part], dtype=np.int64) for part in (pairs.first, pairs.second)
    )
    return ExchangePaths(first, second, pairs.image, weights)


def _magnetic_pairs(cell: Structure, place: t.Mapping[int, int]) -> t.Any:
    """Return the pairs of magnetic sites up to a distance that holds several shells."""
    members = np.array(sorted(place))
    cutoff = 1.5 * (cell.volume / len(members)) ** (1 / 3)
    while True:
        pairs = neighbors(cell, cutoff)
        pairs = pairs.where(np.isin(pairs.first, members) & np.isin(pairs.second, members))
        if len(pairs.first) and _shells(pairs.distance).max() >= SHELLS:
            return pairs
        cutoff *= 1.2


def _shells(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the shell that each distance belongs to."""
    if not len(distances):
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(distances, kind='stable')
    steps = np.diff(distances[order], prepend=distances[order[0]]) > _SAME
    shells = np.empty(len(distances), dtype=np.int64)
    shells[order] = np.cumsum(steps)
    return shells


def _bridges(cell: Structure, place: t.Mapping[int, int]) -> dict[t.Any, float]:
    """Return the sum of the squared cosines of the bridges that connect two magnetic sites, by pair."""
    radii = np.array([COVALENT_RADII[number] for number in cell.atomic_numbers])
    pairs = neighbors(cell, 2 * BOND * float(radii.max()))
    nonmetal = np.array([not site.specie.is_metal for site in cell])
    magnetic = np.isin(np.arange(len(cell)), list(place))
    bonded = pairs.distance < BOND * (radii[pairs.first] + radii[pairs.second])
    pairs = pairs.where(bonded & nonmetal[pairs.first] & ~magnetic[pairs.first] & magnetic[pairs.second])
    vectors = (cell.frac_coords[pairs.second] + pairs.image - cell.frac_coords[pairs.first]) @ cell.lattice.matrix
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    found: dict[t.Any, float] = {}
    for anion in np.unique(pairs.first):
        members = np.flatnonzero(pairs.first == anion)
        cosines = vectors[members] @ vectors[members].T
        for (i, a), (j, b) in ((x, y) for x in enumerate(members) for y in enumerate(members)):
            shift = tuple((pairs.image[b] - pairs.image[a]).tolist())
            key = (int(pairs.second[a]), int(pairs.second[b]), shift)
            found[key] = found.get(key, 0.0) + float(cosines[i, j] ** 2)
    return found
