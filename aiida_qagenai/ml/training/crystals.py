"""Training structures of the generator as tensors on its device, in buckets of similar size."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.generator.lattice import log_coordinates
from aiida_qagenai.ml.generator.reduction import equivalent_settings
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Bucket', 'make_buckets')

BUCKETS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 52, 64, 80)
"""Largest numbers of atoms of the buckets: padding a cell to that of its bucket costs little."""

SMALLEST_BUCKET = 64
"""Buckets with fewer structures are joined with the next larger one."""


@dataclasses.dataclass(frozen=True)
class Bucket:
    """R settings of n structures, padded to N atoms.

    :param coordinates: of ½ log G, shape (R, 6).
    :param fractional: shape (R, N, 3), zero on padding.
    :param types: element positions per structure, shape (n, N).
    :param mask: shape (n, N).
    :param structure: structure of each setting, shape (R,).
    :param first: first setting of each structure, shape (n,).
    :param number: settings of each structure, shape (n,).
    :param q: descriptors, shape (n, Q), NaN where unknown.
    """

    coordinates: Tensor
    fractional: Tensor
    types: Tensor
    mask: Tensor
    structure: Tensor
    first: Tensor
    number: Tensor
    q: Tensor

    def __len__(self) -> int:
        return len(self.types)

    @property
    def num_atoms(self) -> Tensor:
        """Return the atoms per structure, shape (n,)."""
        return self.mask.sum(dim=1)

    @classmethod
    def build(cls, labels: LabelledBatch, elements: tuple[int, ...], runtime: Runtime) -> Bucket:
        """Return the bucket of ``labels``, all of whose elements must be in ``elements``."""
        structures = labels.structures
        width = int(structures.num_atoms.max())
        mask = np.arange(width) < structures.num_atoms[:, None]
        types = np.zeros(mask.shape, dtype=np.int64)
        types[mask] = species_indices(structures.species, elements)
        metrics, fractional, owner = [], [], []
        for index, (cell, species, positions) in enumerate(structures):
            for matrix in equivalent_settings(cell):
                vectors = matrix @ cell
                moved = np.zeros((width, 3))
                moved[: len(species)] = positions @ np.linalg.inv(matrix)
                metrics.append(vectors @ vectors.T)
                fractional.append(moved)
                owner.append(index)
        structure = torch.tensor(owner)
        number = torch.bincount(structure, minlength=len(structures))
        device = runtime.device
        return cls(
            coordinates=log_coordinates(torch.as_tensor(np.array(metrics))).to(device, runtime.dtype),
            fractional=runtime.tensor(np.array(fractional)),
            types=torch.from_numpy(types).to(device),
            mask=torch.from_numpy(mask).to(device),
            structure=structure.to(device),
            first=(torch.cumsum(number, 0) - number).to(device),
            number=number.to(device),
            q=runtime.tensor(labels.descriptors),
        )


def make_buckets(labels: LabelledBatch, elements: tuple[int, ...], runtime: Runtime) -> list[Bucket]:
    """Return the buckets that hold all structures of ``labels``."""
    return [Bucket.build(labels.select(rows), elements, runtime) for rows in _by_size(labels.structures.num_atoms)]


def _by_size(num_atoms: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each bucket, smallest cells first."""
    limits = [limit for limit in BUCKETS if limit < num_atoms.max(initial=0)]
    place = np.searchsorted(limits, num_atoms)
    groups, waiting = [], np.zeros(0, dtype=np.int64)
    for index in range(len(limits) + 1):
        waiting = np.concatenate([waiting, np.flatnonzero(place == index)])
        if len(waiting) >= SMALLEST_BUCKET:
            groups.append(waiting)
            waiting = np.zeros(0, dtype=np.int64)
    if len(waiting) and groups and len(waiting) < SMALLEST_BUCKET:
        groups[-1] = np.concatenate([groups[-1], waiting])
    elif len(waiting):
        groups.append(waiting)
    return groups
