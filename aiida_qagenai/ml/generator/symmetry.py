"""Space groups during sampling: what keeps the symmetry of a structure is a linear subspace.

An operation of the group maps fractional coordinates x to W x + w and atom i onto atom p(i). Displacements u keep it if
u_p(i) = W u_i, and a strain s, symmetric and in Cartesian axes of the reference cell, if Q s Qᵀ = s with the Cartesian
rotation Q. The averages over all operations project onto these subspaces; they change neither the mean displacement
along an axis that the group keeps nor the volume.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiida_qagenai.chemistry.symmetry import symmetry_dataset
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.generator.lattice import basis, log_coordinates, metric_from_coordinates
from aiida_qagenai.ml.generator.reduction import equivalent_settings

__all__ = (
    'Operations',
    'Subspace',
    'find_operations',
    'kept_coordinates',
    'lattice_strains',
    'reduced_setting',
    'symmetrise',
)


class Operations(t.NamedTuple):
    """The operations of a space group in the setting of one structure.

    :param rotations: W, shape (m, 3, 3), integers.
    :param translations: w, shape (m, 3).
    :param permutations: p, the atom onto which each atom is mapped, shape (m, n).
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    permutations: NDArray[np.int64]


def reduced_setting(
    cell: NDArray[np.float64], fractional: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same crystal in a reduced setting of the kind that the generator was trained on.

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    :param fractional: shape (n, 3).
    """
    matrix = equivalent_settings(cell)[0]
    vectors = matrix @ cell
    return np.linalg.cholesky(vectors @ vectors.T).astype(np.float64), fractional @ np.linalg.inv(matrix)


def find_operations(
    cell: NDArray[np.float64], fractional: NDArray[np.float64], species: NDArray[np.int64], tolerance: float = 0.01
) -> Operations:
    """Return the operations of the space group of a structure, those of the identity if spglib finds none.

    :param species: atomic numbers, shape (n,).
    :param tolerance: Å.
    """
    dataset = symmetry_dataset((cell, fractional, species), tolerance)
    if dataset is None:
        return Operations(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)), np.arange(len(species))[None])
    rotations, translations = np.asarray(dataset.rotations, dtype=np.int64), np.asarray(dataset.translations)
    images = np.einsum('mij,nj->mni', rotations, fractional) + translations[:, None]
    offsets = images[:, :, None] - fractional
    offsets -= np.round(offsets)
    squares = np.einsum('mnki,ij,mnkj->mnk', offsets, cell @ cell.T, offsets)
    squares[:, species[:, None] != species] = np.inf
    return Operations(rotations, translations, squares.argmin(2))


def symmetrise(
    cell: NDArray[np.float64], fractional: NDArray[np.float64], operations: Operations
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nearest structure that has the operations exactly; the cell has the orientation of its metric.

    :raises InvalidInputError: if a permutation does not map the atoms onto each other.
    """
    rotations, translations, permutations = operations
    if not (np.sort(permutations, axis=1) == np.arange(len(fractional))).all():
        raise InvalidInputError('a symmetry operation does not map the atoms of the start one to one')
    metric = cell @ cell.T
    metric = np.einsum('mki,kl,mlj->ij', rotations, metric, rotations) / len(rotations)
    images = np.einsum('mij,nj->mni', rotations, fractional) + translations[:, None]
    moves = images - np.take_along_axis(fractional[None], permutations[:, :, None], axis=1)
    mean = np.zeros_like(fractional)
    np.add.at(mean, permutations, moves - np.round(moves))
    return np.linalg.cholesky(metric).astype(np.float64), fractional + mean / len(rotations)


class Subspace:
    """Projections of a padded batch of structures onto what keeps the symmetry of each.

    :param cells: reference cells, which have the symmetry, shape (B, 3, 3), Å.
    :param operations: of each structure; ``None`` where nothing has to be kept.
    :param width: atoms to which the batch is padded, N.
    :param like: gives device and precision.
    """

    def __init__(self, cells: Tensor, operations: Sequence[Operations | None], width: int, like: Tensor) -> None:
        displacements = np.tile(np.eye(3 * width), (len(operations), 1, 1))
        strains = np.tile(np.eye(6), (len(operations), 1, 1))
        references = cells.double().cpu().numpy().copy()
        for row, each in enumerate(operations):
            if each is not None:
                size = 3 * each.permutations.shape[1]
                displacements[row, :size, :size] = _displacements(each)
                strains[row] = lattice_strains(each, references[row])
            else:
                references[row] = np.eye(3)
        self._displacements = torch.as_tensor(displacements).to(like)
        self._strains = torch.as_tensor(strains, device=like.device)
        self._cells = torch.as_tensor(references, device=like.device)
        kept = [each is not None for each in operations]
        self._kept = torch.tensor(kept, device=like.device)

    def displace(self, vectors: Tensor) -> Tensor:
        """Return the part of fractional displacements, shape (B, N, 3), that keeps the symmetry."""
        flat = torch.einsum('bij,bj->bi', self._displacements, vectors.flatten(1))
        return flat.view_as(vectors)

    def coordinates(self, coordinates: Tensor) -> Tensor:
        """Return the coordinates of ½ log G, shape (B, 6), of the nearest metrics that keep the symmetry."""
        kept = kept_coordinates(coordinates, self._cells, self._strains)
        return torch.where(self._kept.unsqueeze(-1), kept, coordinates)


def kept_coordinates(coordinates: Tensor, cells: Tensor, strains: Tensor) -> Tensor:
    """Return the coordinates of ½ log G, shape (B, 6), of the nearest metrics that differ by some strains from others.

    :param cells: from which they may differ, shape (B, 3, 3), Å, double precision.
    :param strains: projections onto these strains, shape (B, 6, 6), see :func:`lattice_strains`.
    """
    metric = metric_from_coordinates(coordinates.double())
    inverse = torch.linalg.inv(cells)
    strain = torch.einsum('bij,bj->bi', strains, log_coordinates(inverse @ metric @ inverse.mT))
    kept = log_coordinates(cells @ metric_from_coordinates(strain) @ cells.mT)
    return kept.to(coordinates)


def _displacements(operations: Operations) -> NDArray[np.float64]:
    """Return the projection of displacements, shape (3n, 3n)."""
    number, size = operations.permutations.shape
    projection = np.zeros((size, 3, size, 3))
    atoms = np.arange(size)
    for rotation, permutation in zip(operations.rotations, operations.permutations, strict=True):
        projection[permutation, :, atoms, :] += rotation
    return projection.reshape(3 * size, 3 * size) / number


def lattice_strains(operations: Operations, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projection onto strains that keep ``operations``, in the basis of the lattice code, shape (6, 6)."""
    turns = cell.T @ operations.rotations @ np.linalg.inv(cell.T)
    matrices = basis().numpy()
    turned = np.einsum('mij,njk,mlk->nil', turns, matrices, turns) / len(turns)
    return np.asarray(np.einsum('kil,nil->kn', matrices, turned))
