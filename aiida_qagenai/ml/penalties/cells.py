"""Padded crystals as tensors, and all their pairs within a radius."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t
from collections.abc import Sequence

import numpy as np
import torch

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.radii import CONTACT_LENGTHS, COVALENT_RADII, SPHERE_RADII

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('CrystalBatch', 'Pairs')

CHUNK = 4_000_000
"""Distances held at a time while the pairs are searched."""

MAX_IMAGES = 12
"""Translations searched on each side of a lattice vector: enough for 6 Å in a cell that is 0.5 Å thick."""

GRAMS_PER_CUBIC_CENTIMETRE = 1.66053906660
"""One dalton per cubic ångström."""

RADII = torch.tensor([0.0, *COVALENT_RADII.values()], dtype=torch.float64)
SPHERES = torch.tensor([0.0, *SPHERE_RADII.values()], dtype=torch.float64)
CONTACTS = torch.as_tensor(CONTACT_LENGTHS)


class Pairs(t.NamedTuple):
    """All ordered pairs (i, j) within a radius, self-images included.

    :param structure: index of the structure, shape (E,).
    :param first: index of atom i among the B · N places, shape (E,).
    :param second: index of atom j, shape (E,).
    :param distance: Å, differentiable in the cells and the coordinates, shape (E,).
    :param vector: from i to j, Å, differentiable as well, shape (E, 3).
    :param shift: lattice translation of j as seen from i, shape (E, 3).
    """

    structure: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    distance: torch.Tensor
    vector: torch.Tensor
    shift: torch.Tensor

    def where(self, chosen: torch.Tensor) -> Pairs:
        """Return the ``chosen`` pairs, a mask of shape (E,)."""
        return Pairs(*(part[chosen] for part in self))


@dataclasses.dataclass(frozen=True)
class CrystalBatch:
    """B crystals padded to N atoms.

    :param cells: lattice vectors as rows, shape (B, 3, 3), Å.
    :param fractional: shape (B, N, 3).
    :param numbers: atomic numbers, 0 on padding, shape (B, N), int64.
    """

    cells: torch.Tensor
    fractional: torch.Tensor
    numbers: torch.Tensor

    @classmethod
    def from_structures(cls, structures: Sequence[Structure], dtype: torch.dtype = torch.float64) -> CrystalBatch:
        """Return pymatgen structures as a batch."""
        width = max(len(structure) for structure in structures)
        fractional = torch.zeros(len(structures), width, 3, dtype=dtype)
        numbers = torch.zeros(len(structures), width, dtype=torch.int64)
        for row, structure in enumerate(structures):
            fractional[row, : len(structure)] = torch.as_tensor(np.array(structure.frac_coords))
            numbers[row, : len(structure)] = torch.as_tensor(structure.atomic_numbers)
        cells = torch.as_tensor(np.array([structure.lattice.matrix for structure in structures]), dtype=dtype)
        return cls(cells, fractional, numbers)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def mask(self) -> torch.Tensor:
        """Return which atoms exist, shape (B, N)."""
        return self.numbers > 0

    @property
    def volumes(self) -> torch.Tensor:
        """Return the volumes of the cells, shape (B,), Å3."""
        return torch.linalg.det(self.cells).abs()

    @property
    def radii(self) -> torch.Tensor:
        """Return the covalent radius of each atom, 0 on padding, shape (B, N), Å."""
        return RADII.to(self.cells)[self.numbers]

    @property
    def sphere_volumes(self) -> torch.Tensor:
        """Return the summed volumes of the spheres that the atoms fill, shape (B,), Å3."""
        return 4 / 3 * torch.pi * SPHERES.to(self.cells)[self.numbers].pow(3).sum(1)

    @property
    def densities(self) -> torch.Tensor:
        """Return the mass densities, shape (B,), g/cm3."""
        masses = _masses().to(self.cells)[self.numbers].sum(1)
        return masses / self.volumes * GRAMS_PER_CUBIC_CENTIMETRE

    def contact_lengths(self, pairs: Pairs) -> torch.Tensor:
        """Return the length that the distance of each pair is compared with, shape (E,), Å."""
        numbers = self.numbers.flatten()
        return CONTACTS.to(self.cells)[numbers[pairs.first], numbers[pairs.second]]

    def pairs(self, cutoff: float) -> Pairs:
        """Return all pairs at most ``cutoff`` (Å) apart, images counted by radius and not by a fixed number.

        Which pairs there are is decided without gradients; their distances carry them.
        """
        with torch.no_grad():
            structure, i, j, shift = self._search(cutoff)
        width = self.numbers.shape[1]
        displaced = self.fractional[structure, j] - self.fractional[structure, i] + shift
        vectors = torch.einsum('ea,eab->eb', displaced, self.cells[structure])
        # atoms that coincide have no direction, and no gradient
        distance = vectors.square().sum(-1).clamp(min=1e-12).sqrt()
        return Pairs(structure, structure * width + i, structure * width + j, distance, vectors, shift)

    def _search(self, cutoff: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return structure, i, j, shape (E,) each, and the lattice translation of j as seen from i, shape (E, 3)."""
        raw = self.fractional.unsqueeze(1) - self.fractional.unsqueeze(2)
        base = -torch.floor(raw + 0.5)
        heights = 1 / torch.linalg.inv(self.cells).norm(dim=1)
        reach = torch.floor(cutoff / heights + 0.5).nan_to_num(0.0).clamp(max=MAX_IMAGES).to(torch.int64)
        found = []
        # structures that need the same images together, and not more at once than memory holds
        kinds: dict[tuple[int, ...], list[int]] = {}
        for row, needed in enumerate(reach.tolist()):
            kinds.setdefault(tuple(needed), []).append(row)
        for needed, rows in kinds.items():
            images = _images(needed).to(self.cells)
            size = max(1, CHUNK // (len(images) * raw.shape[1] ** 2))
            for start in range(0, len(rows), size):
                chosen = torch.tensor(rows[start : start + size], device=self.cells.device)
                found.append(self._within(chosen, (raw + base)[chosen], base[chosen], images, cutoff))
        structure, i, j, shift = (torch.cat(part) for part in zip(*found, strict=True))
        order = torch.argsort(structure, stable=True)
        return structure[order], i[order], j[order], shift[order]

    def _within(
        self, rows: torch.Tensor, nearest: torch.Tensor, base: torch.Tensor, images: torch.Tensor, cutoff: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        displaced = nearest.unsqueeze(3) + images
        vectors = torch.einsum('bijma,bac->bijmc', displaced, self.cells[rows])
        close = vectors.square().sum(-1) <= cutoff**2
        mask = self.mask[rows]
        close &= (mask.unsqueeze(1) & mask.unsqueeze(2)).unsqueeze(-1)
        own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device).unsqueeze(-1) & (images == 0).all(-1)
        local, i, j, image = (close & ~own).nonzero(as_tuple=True)
        return rows[local], i, j, base[local, i, j] + images[image]


@functools.lru_cache(maxsize=256)
def _images(reach: tuple[int, ...]) -> torch.Tensor:
    ranges = [range(-n, n + 1) for n in reach]
    return torch.tensor(list(itertools.product(*ranges)), dtype=torch.float64)


@functools.lru_cache(maxsize=1)
def _masses() -> torch.Tensor:
    from pymatgen.core import Element

    return torch.tensor([0.0, *(float(Element(symbol).atomic_mass) for symbol in SYMBOLS)], dtype=torch.float64)
