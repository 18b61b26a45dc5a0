"""Held atoms: a motif that every step of the reverse process is led back to, while the rest is sampled around it.

As in SCIGEN (R. Okabe et al., Nature Materials 2025), the held atoms are overwritten in every step with the motif that
carries the noise of the step, and so is what is kept of the cell. Here the motif takes the place of the clean
structure that the network predicts, and the step adds the noise: the noise of the held atoms then follows from that of
the step before, as the network knows it, and is not drawn anew. The network does not know where the motif is in the
cell: what it predicts is moved so that its held atoms are on the motif.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.ml.elements import known_indices
from aiida_qagenai.ml.generator.diffusion import wrap
from aiida_qagenai.ml.generator.lattice import (
    LatticeCode,
    basis,
    cell_from_metric,
    log_coordinates,
    metric_from_coordinates,
)
from aiida_qagenai.ml.generator.reduction import equivalent_settings
from aiida_qagenai.ml.generator.requests import Wanted
from aiida_qagenai.ml.generator.symmetry import find_operations, kept_coordinates, lattice_strains

__all__ = ('Hold', 'displacement', 'hold_atoms')

SPREAD = 0.5
"""Standard deviation of the strains that decide which setting of a cell is reduced, where lengths are free."""


class Hold:
    """What a mask holds in a batch of samples, the first atoms of each, in settings like those that are trained on.

    :param mask: held atoms and their cell.
    :param count: samples, B.
    :param rng: draws lengths that are free, and with them the settings: whether c is the longest vector is not known.
    """

    def __init__(self, mask: SiteMask, count: int, rng: np.random.Generator) -> None:
        cell, fractional = np.array(mask.cell), np.array(mask.fractional)
        # a along x and b in the plane of x and y, so that z is normal to both
        cell = np.linalg.cholesky(cell @ cell.T)
        strains = _strains(mask, cell)
        self.settings = [_setting(cell, strains, rng) for _ in range(count)]
        """Integer matrices M, shape (3, 3): the cells M @ cell are those in which is sampled."""
        self.size = len(mask)
        self._strains = torch.as_tensor(strains).expand(count, 6, 6)
        self._cells = torch.as_tensor(np.stack([setting @ cell for setting in self.settings]))
        inverses = np.stack([np.linalg.inv(setting) for setting in self.settings])
        self._motif = torch.as_tensor(fractional @ inverses)

    def overwrite(
        self, lattice: LatticeCode, clean: Tensor, shift: Tensor, x: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return z of the clean lattice, shape (B, 6), and the displacements to the clean atoms, shape (B, N, 3).

        :param clean: z of the predicted clean lattice, shape (B, 6).
        :param shift: displacements to the predicted clean atoms, fractional, shape (B, N, 3).
        :param x: where the atoms are, shape (B, N, 3).
        :param mask: which atoms exist, shape (B, N).
        """
        sizes = mask.sum(1)
        kept = lattice.encode(self.coordinates(lattice.coordinates(clean, sizes)), sizes)
        motif = wrap(self._motif.to(x) - x[:, : self.size])
        offset = _mean(motif - shift[:, : self.size])
        shift = (shift + offset) * mask.unsqueeze(-1)
        return torch.where(kept.isfinite().all(1, keepdim=True), kept, clean), torch.cat(
            [motif, shift[:, self.size :]], 1
        )

    def coordinates(self, coordinates: Tensor) -> Tensor:
        """Return the coordinates of ½ log G, shape (B, 6), of the nearest metrics that the mask allows."""
        device = coordinates.device
        return kept_coordinates(coordinates, self._cells.to(device), self._strains.to(device))

    def displace(self, vectors: Tensor) -> Tensor:
        """Return fractional displacements, shape (B, N, 3), without those of the held atoms."""
        free = torch.arange(vectors.shape[1], device=vectors.device) >= self.size
        return vectors * free.unsqueeze(-1)

    def place(self, x: Tensor) -> Tensor:
        """Return finished coordinates, shape (B, N, 3), in double precision and with the held atoms on the motif."""
        return torch.cat([self._motif.to(x.device), x[:, self.size :].double()], 1)

    def given_setting(
        self, row: int, cell: NDArray[np.float64], fractional: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return a sample in the setting of its mask, a along x and b in the plane of x and y.

        :param row: of the sample in the batch.
        """
        vectors = np.linalg.inv(self.settings[row]) @ cell
        return np.linalg.cholesky(vectors @ vectors.T).astype(np.float64), fractional @ self.settings[row]


def _mean(fractional: Tensor) -> Tensor:
    """Return the mean of fractional coordinates, shape (B, n, 3), on the torus, shape (B, 1, 3)."""
    angles = 2 * torch.pi * fractional
    return torch.atan2(angles.sin().mean(1, keepdim=True), angles.cos().mean(1, keepdim=True)) / (2 * torch.pi)


def hold_atoms(wanted: Sequence[Wanted], mask: SiteMask, elements: tuple[int, ...]) -> list[Wanted]:
    """Return samples whose first atoms are those that a mask holds.

    :param wanted: samples from noise; those of open composition get as many atoms as are held, at least.
    :param elements: atomic numbers of the generator.
    :raises InvalidInputError: if a held element was not in the training set.
    """
    positions = dict(zip(mask.amounts, known_indices(mask.amounts, elements, 'generator'), strict=True))
    held = [positions[symbol] for symbol in mask.species]
    changed = []
    for each in wanted:
        if each.types is None:
            size = max(each.num_atoms, len(held))
            others = [len(elements)] * (size - len(held))
        else:
            size, others = each.num_atoms, list(each.types)
            for position in held:
                others.remove(position)
        changed.append(each._replace(num_atoms=size, types=(*held, *others)))
    return changed


def displacement(mask: SiteMask, cell: NDArray[np.float64], fractional: NDArray[np.float64]) -> float:
    """Return how far the first atoms of a crystal are from those of a mask, Å.

    It is the larger of two: the largest displacement of one of them from its place in the motif, which is moved as a
    whole, and what a strain of the cell that the mask does not allow does to the distance of the nearest of them.

    :param cell: in the setting of the mask.
    """
    own = np.linalg.cholesky(np.array(mask.cell) @ np.array(mask.cell).T)
    metric = torch.as_tensor(cell @ cell.T).unsqueeze(0)
    free = torch.as_tensor(_strains(mask, own)).unsqueeze(0)
    allowed = metric_from_coordinates(kept_coordinates(log_coordinates(metric), torch.as_tensor(own)[None], free))
    inverse = torch.linalg.inv(cell_from_metric(allowed))
    relative = torch.linalg.eigvalsh(inverse @ metric @ inverse.mT)  # squares of the principal stretches
    strain = float((0.5 * relative.log()).abs().max())
    motif = np.array(mask.fractional)
    moved = torch.as_tensor(fractional[: len(mask)] - motif).unsqueeze(0)
    moved = wrap(moved - _mean(moved))[0]
    furthest = float((moved @ torch.tensor(cell)).norm(dim=1).max())
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    pairs = (motif[:, None, None] - motif[None, :, None] + shifts) @ cell
    distances = np.linalg.norm(pairs, axis=-1)
    return max(furthest, strain * float(distances[distances > 1e-6].min()))


def _strains(mask: SiteMask, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projection onto strains that the mask leaves free, in the basis of the lattice code, shape (6, 6)."""
    if mask.lattice == 'free':
        return np.eye(6)
    if mask.lattice == 'fixed':
        return np.zeros((6, 6))
    if mask.lattice == 'plane':
        along = basis().numpy()[:, 2, 2]
        return np.outer(along, along)
    return lattice_strains(find_operations(cell, np.zeros((1, 3)), np.array([ATOMIC_NUMBERS['H']])), cell)


def _setting(cell: NDArray[np.float64], strains: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the matrix of a setting that is reduced if the lengths that are free are drawn."""
    # the first three strains in the basis are those without shear
    lengths = np.concatenate([rng.standard_normal(3), np.zeros(3)])
    drawn = torch.as_tensor(SPREAD * strains @ lengths).unsqueeze(0)
    metric = metric_from_coordinates(drawn)[0].numpy()
    strained = np.linalg.cholesky(cell @ metric @ cell.T)
    setting: NDArray[np.int64] = equivalent_settings(strained)[0]
    return setting
