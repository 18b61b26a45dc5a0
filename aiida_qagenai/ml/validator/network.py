"""A member of the ensemble: an equivariant network with a read-out per level of theory.

E_l(x) = Σ_i E0_l(Z_i) + Σ_i [ base(h_i^l) + Σ_{k ∈ chain(l)} Δ_k(h_i^l) ]

The levels form a tree: each but the first inherits the surface of its parent, and chain(l) are the levels from below
the root to l. They differ by element references E0_l, by the Δ read-outs, by a bias on the scalar channels
(h^l = h + Σ b_k) and by a scaling of what every layer sums over the neighbours (FiLM). All but the references start at
zero, so that every level starts from the surface of its parent.
"""

from __future__ import annotations

import math
import typing as t

import torch
from torch import Tensor, nn

from aiida_qagenai.common.level import LevelTree, line_of
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.validator.moments import MomentTrunk
from aiida_qagenai.ml.validator.neighbours import Neighbours
from aiida_qagenai.ml.validator.pairs import PairTrunk

__all__ = ('SIZES', 'MultiFidelityPotential', 'chain_of', 'hyperparameters')

TRUNKS: dict[str, type[MomentTrunk] | type[PairTrunk]] = {'moments': MomentTrunk, 'pairs': PairTrunk}
"""Architectures by name: messages between atoms, or pairs that are strictly local."""

SIZES: dict[str, dict[str, dict[str, t.Any]]] = {
    'moments': {
        'tiny': {
            'channels': 16,
            'messages': 8,
            'vectors': 4,
            'width': 16,
            'num_layers': 2,
            'cutoff': 4.0,
            'num_radial': 6,
            'readout_width': 16,
        },
        'base': {
            'channels': 64,
            'messages': 16,
            'vectors': 8,
            'width': 64,
            'num_layers': 2,
            'cutoff': 5.0,
            'num_radial': 8,
            'readout_width': 64,
        },
    },
    'pairs': {
        'tiny': {
            'channels': 16,
            'tensors': 8,
            'num_layers': 2,
            'cutoff': 4.0,
            'num_radial': 6,
            'readout_width': 16,
        },
        'base': {
            'channels': 64,
            'tensors': 16,
            'num_layers': 2,
            'cutoff': 5.0,
            'num_radial': 8,
            'readout_width': 64,
        },
    },
}
"""Hyperparameters by architecture and size."""


def hyperparameters(size: str, architecture: str = 'moments') -> dict[str, t.Any]:
    """Return what ``MultiFidelityPotential`` takes besides the elements and the levels."""
    return {'architecture': architecture, **SIZES[architecture][size]}


def chain_of(level: int, parents: tuple[int, ...]) -> list[int]:
    """Return the levels from below the root to ``level``: those whose terms it adds up; none for the root."""
    return line_of(level, parents)[1:]


class MultiFidelityPotential(nn.Module):
    """A member of the ensemble (see the module's text).

    :param num_elements: number of elements in the model's element list.
    :param parents: parent of each level, which comes before it; −1 for the first, the root of all.
    :param architecture: of the trunk, a key of ``TRUNKS``.
    :param options: hyperparameters of the trunk.
    :raises ValueError: if the parents are not those of a tree with its root in front.
    """

    scale: Tensor

    def __init__(
        self,
        num_elements: int,
        parents: tuple[int, ...] = LevelTree.parents,
        *,
        architecture: str,
        channels: int,
        readout_width: int,
        **options: t.Any,
    ) -> None:
        super().__init__()
        if parents[:1] != (-1,) or not all(0 <= parent < level for level, parent in enumerate(parents[1:], 1)):
            raise ValueError(f'level 0 is the root, and a parent comes before its children, got the parents {parents}')
        self.parents = parents
        self.num_elements, self.channels, self.readout_width = num_elements, channels, readout_width
        above = range(len(parents) - 1)
        self.trunk = TRUNKS[architecture](num_elements, len(above), channels=channels, **options)
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(channels)) for _ in above)
        self.base = _readout(channels, readout_width, zero=False)
        self.delta = nn.ModuleList(_readout(channels, readout_width, zero=True) for _ in above)
        self.references = nn.ParameterList(nn.Parameter(torch.zeros(num_elements)) for _ in parents)
        # eV: spread of the energies per atom once the references are removed.
        self.register_buffer('scale', torch.tensor(1.0))

    @property
    def cutoff(self) -> float:
        """Return the distance beyond which an atom sees nothing directly, Å."""
        return self.trunk.cutoff

    @property
    def mean_neighbours(self) -> Tensor:
        """Return the mean number of neighbours in training, by which the moments are normalised."""
        return self.trunk.mean_neighbours

    def neighbours(self, graph: CrystalGraph) -> Neighbours:
        """Return the neighbours in ``graph``, the same for all networks with these hyperparameters."""
        return Neighbours.of(graph, self.trunk.cutoff, self.trunk.num_radial)

    def node_features(self, graph: CrystalGraph, level: int = 0, neighbours: Neighbours | None = None) -> Tensor:
        """Return the scalar features of each atom before the bias of the level, shape (N, channels).

        :param neighbours: those in ``graph``, if they are known.
        """
        features: Tensor = self.trunk(graph, chain_of(level, self.parents), neighbours)
        return features

    def atomic_energies(self, features: Tensor, species: Tensor, level: int) -> Tensor:
        """Return the energy of each atom on ``level``, shape (N,), eV.

        :param features: as returned by ``node_features`` for the same level, shape (N, channels).
        """
        chain = chain_of(level, self.parents)
        h = features
        for k in chain:
            h = h + self.bias[k - 1]
        energy: Tensor = self.base(h)
        for k in chain:
            energy = energy + self.delta[k - 1](h)
        return energy.squeeze(-1) * self.scale + self.references[level][species]

    def forward(self, graph: CrystalGraph, level: int) -> Tensor:
        """Return the energy of each structure on ``level``, shape (B,), eV (not per atom)."""
        return graph.pool_sum(self.atomic_energies(self.node_features(graph, level), graph.species, level))

    def all_levels(self, graph: CrystalGraph, neighbours: Neighbours | None = None) -> tuple[Tensor, Tensor]:
        """Return energies per atom on every level, shape (B, L), and the pooled features, shape (B, channels).

        The trunk runs once for all levels whose sums over neighbours are scaled alike.

        :param neighbours: those in ``graph``, if they are known.
        """
        neighbours = neighbours or self.neighbours(graph)
        known: dict[tuple[int, ...], Tensor] = {}
        energies = []
        for level in range(len(self.parents)):
            scaled = tuple(k for k in chain_of(level, self.parents) if self.scales_sums(k))
            if scaled not in known:
                known[scaled] = self.trunk(graph, scaled, neighbours)
            energies.append(graph.pool_mean(self.atomic_energies(known[scaled], graph.species, level)))
        return torch.stack(energies, dim=-1), graph.pool_mean(known[()])

    def scales_sums(self, level: int) -> bool:
        """Return whether ``level`` scales the sums of any layer otherwise than its parent."""
        films = [parameter for name, parameter in self.trunk.named_parameters() if name.endswith(f'film.{level - 1}')]
        return any(bool(film.any()) for film in films)


def _readout(channels: int, width: int, *, zero: bool) -> nn.Sequential:
    """Return a read-out of scalar features; with ``zero`` its last layer starts at zero."""
    first, last = nn.Linear(channels, width), nn.Linear(width, 1)
    nn.init.orthogonal_(first.weight, gain=math.sqrt(2))
    nn.init.zeros_(first.bias)
    nn.init.zeros_(last.bias)
    if zero:
        nn.init.zeros_(last.weight)
    return nn.Sequential(first, nn.SiLU(), last)
