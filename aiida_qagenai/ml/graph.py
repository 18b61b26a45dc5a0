"""Crystals as graphs for message passing.

Shapes: B structures, N atoms in all, E directed pairs within the cutoff. Every periodic image within the cutoff is an
edge of its own, images of the atom itself included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import vesin
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch

__all__ = ('CrystalGraph', 'Pairs', 'build_graphs', 'collate', 'join_pairs', 'neighbour_list')

MAX_NEIGHBOURS = 20_000

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Receivers (E,), senders (E,) and lattice shifts (E, 3) of one crystal."""


@dataclasses.dataclass(frozen=True)
class CrystalGraph:
    """One or more crystals.

    :param species: position of each atom's element in the model's element list, shape (N,), int64.
    :param positions: Cartesian coordinates, shape (N, 3), Å.
    :param cells: lattice vectors as rows, shape (B, 3, 3), Å.
    :param owner: structure of each atom, shape (N,), int64.
    :param senders: atom j of each pair, shape (E,), int64.
    :param receivers: atom i of each pair, shape (E,), int64.
    :param shifts: lattice translations of j, shape (E, 3).
    :param num_atoms: atoms per structure, shape (B,).
    """

    species: torch.Tensor
    positions: torch.Tensor
    cells: torch.Tensor
    owner: torch.Tensor
    senders: torch.Tensor
    receivers: torch.Tensor
    shifts: torch.Tensor
    num_atoms: torch.Tensor

    def edge_vectors(self) -> torch.Tensor:
        """Return r_j − r_i for each pair, shape (E, 3), Å; differentiable in positions and cells."""
        cells = self.cells[self.owner[self.receivers]]
        translations = torch.einsum('ea,eab->eb', self.shifts, cells)
        return self.positions[self.senders] - self.positions[self.receivers] + translations

    def pool_mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over the atoms of each structure, shape (B, …), of ``values``, shape (N, …)."""
        return self.pool_sum(values) / self.num_atoms.to(values).view(-1, *[1] * (values.ndim - 1))

    def pool_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over the atoms of each structure, shape (B, …), of ``values``, shape (N, …)."""
        sums = values.new_zeros((len(self.num_atoms), *values.shape[1:]))
        return sums.index_add(0, self.owner, values)

    def to(self, device: torch.device) -> CrystalGraph:
        """Return the graph on ``device``."""
        fields = dataclasses.fields(self)
        return CrystalGraph(**{field.name: getattr(self, field.name).to(device) for field in fields})


def neighbour_list(cell: NDArray[np.float64], positions: NDArray[np.float64], cutoff: float) -> Pairs:
    """Return receivers i, senders j and integer lattice shifts of all pairs within ``cutoff``, in a fixed order.

    :param cell: lattice vectors as rows, shape (3, 3), Å.
    :param positions: shape (n, 3), Å.
    :returns: arrays of shapes (E,), (E,), (E, 3).
    :raises InvalidInputError: if the crystal is so dense that the list would be unreasonably long.
    """
    expected = len(positions) * 4.19 * cutoff**3 / max(abs(float(np.linalg.det(cell))), 1e-12)
    if expected > MAX_NEIGHBOURS:
        message = f'a structure of {len(positions)} atoms has about {expected:.0f} neighbours within {cutoff} Å'
        raise InvalidInputError(message)
    i, j, shifts = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(
        points=positions, box=cell, periodic=True, quantities='ijS'
    )
    shifts = np.asarray(shifts, dtype=np.int64)
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
    return np.asarray(i, dtype=np.int64)[order], np.asarray(j, dtype=np.int64)[order], shifts[order]


def build_graphs(
    structures: StructureBatch, species: NDArray[np.int64], cutoff: float, dtype: torch.dtype
) -> list[CrystalGraph]:
    """Return one graph per structure.

    :param species: element positions for all atoms of ``structures``, shape (N,).
    """
    graphs = []
    for (cell, _, fractional), indices in zip(structures, np.split(species, structures.offsets[1:])[:-1], strict=True):
        positions = fractional @ cell
        receivers, senders, shifts = neighbour_list(cell, positions, cutoff)
        graphs.append(
            CrystalGraph(
                species=torch.from_numpy(np.ascontiguousarray(indices)),
                positions=torch.as_tensor(positions, dtype=dtype),
                cells=torch.as_tensor(cell, dtype=dtype).unsqueeze(0),
                owner=torch.zeros(len(positions), dtype=torch.int64),
                senders=torch.from_numpy(senders),
                receivers=torch.from_numpy(receivers),
                shifts=torch.as_tensor(shifts, dtype=dtype),
                num_atoms=torch.tensor([len(positions)]),
            )
        )
    return graphs


def collate(graphs: Sequence[CrystalGraph]) -> CrystalGraph:
    """Return several graphs as one without edges between them."""
    num_atoms = torch.cat([graph.num_atoms for graph in graphs])
    sizes = torch.tensor([len(graph.species) for graph in graphs])
    starts = (torch.cumsum(sizes, 0) - sizes).tolist()
    return CrystalGraph(
        owner=torch.repeat_interleave(torch.arange(len(num_atoms), device=num_atoms.device), num_atoms),
        senders=torch.cat([graph.senders + start for graph, start in zip(graphs, starts, strict=True)]),
        receivers=torch.cat([graph.receivers + start for graph, start in zip(graphs, starts, strict=True)]),
        num_atoms=num_atoms,
        **{
            name: torch.cat([getattr(graph, name) for graph in graphs])
            for name in ('species', 'positions', 'cells', 'shifts')
        },
    )


def join_pairs(
    structures: StructureBatch, species: NDArray[np.int64], pairs: Sequence[Pairs], dtype: torch.dtype
) -> CrystalGraph:
    """Return all structures as one graph with the neighbours that are given.

    :param species: element positions for all atoms of ``structures``, shape (N,).
    :param pairs: neighbours of each structure.
    """
    starts = structures.offsets[:-1]
    positions = np.einsum('ia,iab->ib', structures.fractional, structures.cells[structures.owner])
    receivers, senders, shifts = (
        np.concatenate([each[column] + (start if column < 2 else 0) for each, start in zip(pairs, starts, strict=True)])
        for column in range(3)
    )
    return CrystalGraph(
        species=torch.from_numpy(np.ascontiguousarray(species)),
        positions=torch.as_tensor(positions, dtype=dtype),
        cells=torch.as_tensor(structures.cells, dtype=dtype),
        owner=torch.from_numpy(structures.owner),
        senders=torch.from_numpy(senders),
        receivers=torch.from_numpy(receivers),
        shifts=torch.as_tensor(shifts, dtype=dtype),
        num_atoms=torch.from_numpy(structures.num_atoms),
    )
