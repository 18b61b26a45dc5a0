"""The training set of the generator: reduced cells in all their near-equivalent settings, padded."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.generator.lattice import log_coordinates
from aiida_qagenai.ml.generator.reduction import equivalent_settings
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('CrystalTable',)


@dataclasses.dataclass(frozen=True)
class CrystalTable:
    """R settings of n structures, padded to N atoms.

    :param coordinates: of ½ log G, shape (R, 6).
    :param fractional: shape (R, N, 3), zero on padding.
    :param types: element positions per structure, shape (n, N).
    :param mask: shape (n, N).
    :param structure: structure of each setting, shape (R,).
    :param first: first setting of each structure, shape (n,).
    :param number: settings of each structure, shape (n,).
    """

    coordinates: torch.Tensor
    fractional: torch.Tensor
    types: torch.Tensor
    mask: torch.Tensor
    structure: torch.Tensor
    first: torch.Tensor
    number: torch.Tensor

    @classmethod
    def build(cls, structures: StructureBatch, elements: tuple[int, ...], runtime: Runtime) -> CrystalTable:
        """Return the table of ``structures``, all of whose elements must be in ``elements``."""
        width = int(structures.num_atoms.max())
        offsets = structures.offsets
        species = species_indices(structures.species, elements)
        types = np.zeros((len(structures), width), dtype=np.int64)
        mask = np.zeros((len(structures), width), dtype=bool)
        metrics, fractional, owner = [], [], []
        for index, cell in enumerate(structures.cells):
            atoms = slice(offsets[index], offsets[index + 1])
            count = int(structures.num_atoms[index])
            types[index, :count], mask[index, :count] = species[atoms], True
            for matrix in equivalent_settings(cell):
                vectors = matrix @ cell
                moved = np.zeros((width, 3))
                moved[:count] = structures.fractional[atoms] @ np.linalg.inv(matrix)
                metrics.append(vectors @ vectors.T)
                fractional.append(moved)
                owner.append(index)
        number = torch.bincount(torch.tensor(owner), minlength=len(structures))
        return cls(
            coordinates=log_coordinates(torch.as_tensor(np.array(metrics))).to(runtime.dtype),
            fractional=torch.as_tensor(np.array(fractional), dtype=runtime.dtype),
            types=torch.from_numpy(types),
            mask=torch.from_numpy(mask),
            structure=torch.tensor(owner),
            first=torch.cumsum(number, 0) - number,
            number=number,
        )

    @property
    def num_atoms(self) -> torch.Tensor:
        """Return the atoms per structure, shape (n,)."""
        return self.mask.sum(dim=1)
