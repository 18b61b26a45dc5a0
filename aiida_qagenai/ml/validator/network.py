"""One member of the ensemble: an equivariant message-passing network with a read-out per level of the ladder.

E_l(x) = Σ_i E0_l(Z_i) + Σ_i [ base(h_i^l) + Σ_{k≤l} Δ_k(h_i^l) ]

The levels differ by element references E0_l, by the Δ read-outs, by a bias on the scalar channels (h^l = h + b_l) and
by a scaling of the radial weights of every interaction (FiLM). All but the references start at zero, so that every
level starts from one surface. Conditioning accumulates up the ladder: level l uses the terms of all k ≤ l.
Interactions follow NequIP (Batzner et al., Nat. Commun. 13, 2453 (2022)).
"""

from __future__ import annotations

import math
import typing as t

import torch
from e3nn import o3
from e3nn.nn import Gate
from torch import Tensor, nn

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.ml.graph import CrystalGraph

__all__ = ('SIZES', 'MultiFidelityPotential', 'forward_protected')

NUM_LEVELS = len(LADDER)

SIZES: dict[str, dict[str, t.Any]] = {
    'tiny': {
        'channels': 16,
        'max_degree': 1,
        'num_layers': 2,
        'cutoff': 4.0,
        'num_radial': 8,
        'radial_width': 32,
        'readout_width': 16,
    },
    'base': {
        'channels': 64,
        'max_degree': 2,
        'num_layers': 3,
        'cutoff': 5.0,
        'num_radial': 8,
        'radial_width': 64,
        'readout_width': 64,
    },
}
"""Hyperparameters by size: what ``MultiFidelityPotential`` takes besides the elements."""


def polynomial_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """Return an envelope that is 1 at zero and falls to 0 at ``cutoff`` with two continuous derivatives.

    J. Gasteiger et al., "Directional message passing", ICLR 2020, Eq 8 with p = 6.
    """
    x = (distances / cutoff).clamp(max=1.0)
    return 1 - 28 * x**6 + 48 * x**7 - 21 * x**8


def bessel_basis(distances: Tensor, cutoff: float, count: int) -> Tensor:
    """Return √(2/c) sin(nπr/c)/r for n = 1 … ``count``, shape (E, count)."""
    orders = torch.arange(1, count + 1, dtype=distances.dtype, device=distances.device)
    r = distances.unsqueeze(-1)
    return math.sqrt(2 / cutoff) * torch.sin(orders * (math.pi / cutoff) * r) / r


class _Edges(t.NamedTuple):
    """What all interactions share: harmonics (E, (l_max + 1)²), radial basis (E, n) and envelope (E,) of the pairs."""

    harmonics: Tensor
    radial: Tensor
    envelope: Tensor


class Interaction(nn.Module):
    """One convolution over the neighbours with radial weights that depend on the level, and a gate."""

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_out: o3.Irreps,
        *,
        num_elements: int,
        max_degree: int,
        num_radial: int,
        width: int,
    ) -> None:
        super().__init__()
        harmonics = o3.Irreps.spherical_harmonics(max_degree)
        scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
        tensors = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
        gates = o3.Irreps([(tensors.num_irreps, '0e')]) if tensors.num_irreps else o3.Irreps('')
        self.gate = Gate(scalars, [nn.functional.silu], gates, [torch.sigmoid] if gates.dim else [], tensors)
        self.up = o3.Linear(irreps_in, irreps_in)
        instructions, middle = _instructions(irreps_in, harmonics, self.gate.irreps_in)
        self.product = o3.TensorProduct(
            irreps_in, harmonics, middle, instructions, shared_weights=False, internal_weights=False
        )
        self.radial = nn.Sequential(
            nn.Linear(num_radial, width), nn.SiLU(), nn.Linear(width, self.product.weight_numel, bias=False)
        )
        self.film = nn.ParameterList(nn.Parameter(torch.zeros(2, self.product.weight_numel)) for _ in LADDER[1:])
        self.down = o3.Linear(middle.simplify(), self.gate.irreps_in)
        self.self_connection = o3.FullyConnectedTensorProduct(irreps_in, f'{num_elements}x0e', self.gate.irreps_in)

    @property
    def irreps_out(self) -> o3.Irreps:
        return self.gate.irreps_out

    def forward(
        self, x: Tensor, *, one_hot: Tensor, graph: CrystalGraph, edges: _Edges, level: int, normalisation: Tensor
    ) -> Tensor:
        """Return the new features, shape (N, irreps_out.dim)."""
        weights = self.radial(edges.radial)
        if level:
            film = torch.stack([self.film[k] for k in range(level)]).sum(0)
            weights = weights * (1 + film[0]) + film[1]
        # The envelope multiplies last, so that no conditioning can make a pair jump at the cutoff.
        weights = weights * edges.envelope.unsqueeze(-1)
        messages = self.product(self.up(x)[graph.senders], edges.harmonics, weights)
        summed = messages.new_zeros((len(x), messages.shape[-1])).index_add(0, graph.receivers, messages)
        return self.gate(self.down(summed * normalisation) + self.self_connection(x, one_hot))


class MultiFidelityPotential(nn.Module):
    """A member of the ensemble (see the module's text).

    :param num_elements: number of elements in the model's element list.
    """

    scale: Tensor
    mean_neighbours: Tensor

    def __init__(
        self,
        num_elements: int,
        *,
        channels: int,
        max_degree: int,
        num_layers: int,
        cutoff: float,
        num_radial: int,
        radial_width: int,
        readout_width: int,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.num_radial = num_radial
        self.num_elements = num_elements
        self.channels = channels
        self.harmonics = o3.Irreps.spherical_harmonics(max_degree)
        self.embedding = nn.Embedding(num_elements, channels)
        irreps = o3.Irreps([(channels, '0e')])
        hidden = o3.Irreps(
            [(channels if degree == 0 else channels // 2, (degree, (-1) ** degree)) for degree in range(max_degree + 1)]
        )
        layers = []
        for index in range(num_layers):
            target = hidden if index < num_layers - 1 else o3.Irreps([(channels, '0e')])
            layers.append(
                Interaction(
                    irreps,
                    target,
                    num_elements=num_elements,
                    max_degree=max_degree,
                    num_radial=num_radial,
                    width=radial_width,
                )
            )
            irreps = layers[-1].irreps_out
        self.layers = nn.ModuleList(layers)
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(channels)) for _ in LADDER[1:])
        self.base = _readout(channels, readout_width, zero=False)
        self.delta = nn.ModuleList(_readout(channels, readout_width, zero=True) for _ in LADDER[1:])
        self.references = nn.ParameterList(nn.Parameter(torch.zeros(num_elements)) for _ in LADDER)
        # eV: spread of the energies per atom once the references are removed; and the mean number of neighbours.
        self.register_buffer('scale', torch.tensor(1.0))
        self.register_buffer('mean_neighbours', torch.tensor(1.0))

    def node_features(self, graph: CrystalGraph, level: int = 0) -> Tensor:
        """Return the scalar features of each atom before the bias of the level, shape (N, channels)."""
        vectors = graph.edge_vectors()
        distances = vectors.norm(dim=-1)
        edges = _Edges(
            o3.spherical_harmonics(self.harmonics, vectors, normalize=True, normalization='component'),
            bessel_basis(distances, self.cutoff, self.num_radial),
            polynomial_cutoff(distances, self.cutoff),
        )
        one_hot = nn.functional.one_hot(graph.species, self.num_elements).to(vectors.dtype)
        normalisation = self.mean_neighbours.rsqrt()
        x: Tensor = self.embedding(graph.species)
        for layer in self.layers:
            x = layer(x, one_hot=one_hot, graph=graph, edges=edges, level=level, normalisation=normalisation)
        return x

    def atomic_energies(self, features: Tensor, species: Tensor, level: int) -> Tensor:
        """Return the energy of each atom on ``level``, shape (N,), eV.

        :param features: as returned by ``node_features`` for the same level, shape (N, channels).
        """
        h = features
        for k in range(level):
            h = h + self.bias[k]
        energy: Tensor = self.base(h)
        for k in range(level):
            energy = energy + self.delta[k](h)
        return energy.squeeze(-1) * self.scale + self.references[level][species]

    def forward(self, graph: CrystalGraph, level: int) -> Tensor:
        """Return the formation energy of each structure on ``level`` of the ladder, shape (B,), eV (not per atom)."""
        return graph.pool_sum(self.atomic_energies(self.node_features(graph, level), graph.species, level))

    def all_levels(self, graph: CrystalGraph) -> tuple[Tensor, Tensor]:
        """Return energies per atom on every level, shape (B, 4), and the pooled features, shape (B, channels).

        The trunk runs once for all levels whose radial weights are the same.
        """
        pooled, energies, features = None, [], torch.empty(0)
        for level in range(NUM_LEVELS):
            if level == 0 or any(bool(layer.film[level - 1].any()) for layer in self.layers):  # type: ignore[union-attr,index]
                features = self.node_features(graph, level)
            if pooled is None:
                pooled = graph.pool_mean(features)
            energies.append(graph.pool_mean(self.atomic_energies(features, graph.species, level)))
        assert pooled is not None
        return torch.stack(energies, dim=-1), pooled


def forward_protected(model: MultiFidelityPotential, graph: CrystalGraph, level: int) -> Tensor:
    """Return ``model(graph, level)`` with all parameters but the references of ``level`` detached (gradient stop).

    Parameters are stopped, not features: the gradient with respect to the positions (the forces) is complete.
    """
    parameters: dict[str, Tensor] = {name: value.detach() for name, value in model.named_parameters()}
    parameters[f'references.{level}'] = model.references[level]
    return torch.func.functional_call(model, parameters, (graph, level))


def _readout(channels: int, width: int, *, zero: bool) -> nn.Sequential:
    """Return a read-out of scalar features; with ``zero`` its last layer starts at zero."""
    first, last = nn.Linear(channels, width), nn.Linear(width, 1)
    nn.init.orthogonal_(first.weight, gain=math.sqrt(2))
    nn.init.zeros_(first.bias)
    nn.init.zeros_(last.bias)
    if zero:
        nn.init.zeros_(last.weight)
    return nn.Sequential(first, nn.SiLU(), last)


def _instructions(
    irreps_in: o3.Irreps, harmonics: o3.Irreps, wanted: o3.Irreps
) -> tuple[list[tuple[int, int, int, str, bool]], o3.Irreps]:
    """Return the paths of the depth-wise product that lead to a wanted irrep, sorted by output, and its output."""
    outputs: list[tuple[int, o3.Irrep]] = []
    paths = []
    kinds = {ir for _, ir in wanted}
    for i, (mul, ir_in) in enumerate(irreps_in):
        for j, (_, ir_edge) in enumerate(harmonics):
            for ir_out in ir_in * ir_edge:
                if ir_out in kinds:
                    paths.append((i, j, len(outputs), 'uvu', True))
                    outputs.append((mul, ir_out))
    irreps, permutation, _ = o3.Irreps(outputs).sort()
    instructions = [(i, j, permutation[k], mode, train) for i, j, k, mode, train in paths]
    return sorted(instructions, key=lambda path: path[2]), irreps
