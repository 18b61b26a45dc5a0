"""The denoiser: a transformer over the atoms of a cell that predicts the clean structure.

Shapes: B structures padded to N atoms, K elements, Q descriptors. Coordinates enter only through differences (Fourier
features, and distances to the nearest image in the metric of the noisy lattice), so that a translation changes nothing;
no position in the list of atoms enters, so that a permutation permutes the output; the orientation never enters at all.
What holds for the whole cell (noise level, lattice, number of atoms, q) modulates every layer through one shared map.
By cross-attention, q enters as tokens that the atoms look at after each layer.
"""

from __future__ import annotations

import itertools
import math
import typing as t

import torch
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.ml.elements import NUM_FEATURES
from aiida_qagenai.ml.generator.attention import DescriptorAttention
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal, remove_mean, wrap
from aiida_qagenai.ml.generator.lattice import LatticeCode, basis, metric_from_coordinates

__all__ = ('SIZES', 'Denoiser', 'Noisy', 'Prediction', 'near_images')

SIZES: dict[str, dict[str, t.Any]] = {
    'tiny': {'width': 64, 'num_heads': 4, 'num_layers': 3, 'pair_width': 32},
    'base': {'width': 192, 'num_heads': 6, 'num_layers': 6, 'pair_width': 32},
}
NUM_FREQUENCIES = 6
NUM_RADIAL = 16
RADIAL_RANGE = (0.3, 2.7)
"""Centres of the Gaussians of the distance, in units of (V/N)^⅓: from a short bond to half of a large cell."""

LEARNED_WIDTH = 16
"""Learned numbers per element beside its chemical features."""

TORUS_SPREAD = 0.29
"""Root mean square of a uniform difference of fractional coordinates."""

MAX_LATTICE = 10.0
"""Bound of the predicted clean lattice in standard deviations of the training set: only trajectories that diverge reach
it. The cells of MP-20 reach 6.5."""


_FIRST, _SECOND = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]


class Noisy(t.NamedTuple):
    """A batch at some noise level.

    :param z: whitened lattice coordinates, shape (B, 6).
    :param x: fractional coordinates, shape (B, N, 3).
    :param types: position of each element, K where absorbed, shape (B, N), int64.
    :param mask: which atoms exist, shape (B, N), bool.
    :param time: shape (B,).
    """

    z: Tensor
    x: Tensor
    types: Tensor
    mask: Tensor
    time: Tensor


class Prediction(t.NamedTuple):
    """What the network says about a noisy batch.

    :param v: velocity α ε − σ z_0 of the lattice, shape (B, 6).
    :param shift: displacements to the clean coordinates in units of ``shift_scale``, zero sum per structure, (B, N, 3).
    :param logits: of the elements, shape (B, N, K).
    """

    v: Tensor
    shift: Tensor
    logits: Tensor


def shift_scale(time: Tensor) -> Tensor:
    """Return the root mean square of the displacement to the clean coordinates, fractional, at each time."""
    width = coordinate_width(time)
    return width * TORUS_SPREAD / (width**2 + TORUS_SPREAD**2).sqrt()


def near_images(differences: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to eight images and their weights, shapes (B, N, N, 8, 3) and (B, N, N, 8).

    The images are the corners of the cell around a difference: in a reduced cell, the nearest one and those as near as
    it are among them. The weights are one up to half of a lattice vector and let an image fade before another one, a
    lattice vector away, takes its place.

    :param differences: in [−½, ½), shape (B, N, N, 3).
    """
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).to(differences)
    images = differences.unsqueeze(-2) - differences.sign().unsqueeze(-2) * corners
    far = (images.abs() - 0.5).clamp(min=0)
    factors = torch.cos(math.pi * far).square()
    return images, factors.masked_fill((differences == 0).unsqueeze(-2) & (corners > 0), 0.0).prod(-1)


class _Directions(t.NamedTuple):
    """Geometry of all pairs by distance, summed over images.

    :param vectors: fractional, over the width of the torus, shape (B, N, N, radial, 3).
    :param tensors: products of the components of unit vectors, xx, yy, zz, xy, xz, yz, shape (B, N, N, radial, 6).
    """

    vectors: Tensor
    tensors: Tensor


class _Layer(nn.Module):
    """Attention with a geometric bias and geometric values, and an MLP; scales, shifts and gates come from outside."""

    def __init__(self, width: int, num_heads: int, pair_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.modulation = nn.Parameter(torch.zeros(6 * width))
        self.qkv = nn.Linear(width, 3 * width)
        self.pair_bias = nn.Linear(pair_width, num_heads)
        self.pair_value = nn.Linear(num_heads * pair_width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor, *, pairs: Tensor, attend: Tensor, shared: Tensor) -> Tensor:
        """Return the new atoms, shape (B, N, width).

        :param pairs: geometry, shape (B, N, N, pair_width).
        :param attend: 0 where an atom may look and −∞ where not, shape (B, 1, 1, N).
        :param shared: modulation of all layers, shape (B, 1, 6 · width).
        """
        scale, shift, gate, scale_mlp, shift_mlp, gate_mlp = (shared + self.modulation).chunk(6, dim=-1)
        attended = self._attention(self.norms[0](h) * (1 + scale) + shift, pairs, attend)
        h = h + (1 + gate) * attended
        return h + (1 + gate_mlp) * self.mlp(self.norms[1](h) * (1 + scale_mlp) + shift_mlp)

    def _attention(self, y: Tensor, pairs: Tensor, attend: Tensor) -> Tensor:
        batch, number, width = y.shape
        qkv = self.qkv(y).view(batch, number, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = (logits + self.pair_bias(pairs).permute(0, 3, 1, 2) + attend).softmax(dim=-1)
        # Each head also gathers the geometry of the pairs, which gives the message its direction.
        geometric = weights.transpose(1, 2) @ pairs
        gathered = (weights @ value).transpose(1, 2).reshape(batch, number, width)
        return self.out(gathered) + self.pair_value(geometric.flatten(2))


class Denoiser(nn.Module):
    """The denoiser, with the code of the lattice, the features of the elements and the normalisation of q.

    ``q_mean``, ``q_deviation``: shape (Q,); ``features``: :func:`~aiida_qagenai.ml.elements.chemical_features` of the
    elements, and zeros for an absorbed atom, shape (K + 1, NUM_FEATURES).

    :param conditioning: how q enters: ``concatenation`` with the noise level and the lattice, or ``cross-attention``.
    """

    q_mean: Tensor
    q_deviation: Tensor
    features: Tensor

    def __init__(
        self,
        num_elements: int,
        *,
        width: int,
        num_heads: int,
        num_layers: int,
        pair_width: int,
        conditioning: t.Literal['concatenation', 'cross-attention'] = 'concatenation',
    ) -> None:
        super().__init__()
        self.num_elements = num_elements
        self.lattice = LatticeCode()
        self.register_buffer('q_mean', torch.zeros(NUM_DESCRIPTORS))
        self.register_buffer('q_deviation', torch.ones(NUM_DESCRIPTORS))
        self.register_buffer('features', torch.zeros(num_elements + 1, NUM_FEATURES))
        self.learned = nn.Embedding(num_elements + 1, LEARNED_WIDTH)
        self.element_embedding = nn.Linear(NUM_FEATURES + LEARNED_WIDTH, width)
        self.context = nn.Sequential(nn.Linear(39, width), nn.SiLU(), nn.Linear(width, width))
        self.q_embedding = nn.Linear(2 * NUM_DESCRIPTORS, width)
        self.modulation = nn.Linear(width, 6 * width)
        self.pair_features = nn.Linear(6 * NUM_FREQUENCIES + NUM_RADIAL, pair_width)
        self.pair_context = nn.Linear(6 + width, pair_width)
        self.pair_mix = nn.Linear(pair_width, pair_width)
        self.layers = nn.ModuleList(_Layer(width, num_heads, pair_width) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, num_elements)
        self.to_v = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6))
        self.edge_ends = nn.Linear(width, 4 * pair_width)
        self.edge_pair = nn.Linear(pair_width, 2 * pair_width)
        self.from_edges = nn.Linear(2 * pair_width, 2 * NUM_RADIAL + 3)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        for layer in (self.to_v[2], self.from_edges):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.attention: DescriptorAttention | None = None
        if conditioning == 'cross-attention':
            self.attend_to_q(num_heads)

    def attend_to_q(self, num_heads: int) -> None:
        """Let q enter by cross-attention from now on; at first it changes nothing."""
        self.attention = DescriptorAttention(self.norm.weight.shape[0], num_heads, len(self.layers))

    @property
    def trained_fields(self) -> Tensor:
        """Return which fields of q the network was trained with, shape (Q,): others have no statistics."""
        return (self.q_mean != 0) | (self.q_deviation != 1)

    def normalise_q(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised q with zeros for NaN, and which fields are known, shape (B, Q) each."""
        known = torch.isfinite(q)
        return torch.where(known, (q - self.q_mean) / self.q_deviation, torch.zeros_like(q)), known

    def forward(self, noisy: Noisy, q: Tensor, known: Tensor) -> Prediction:
        """Return the prediction for a noisy batch.

        :param q: normalised descriptors, shape (B, Q).
        :param known: which of them to condition on, shape (B, Q), bool.
        """
        num_atoms = noisy.mask.sum(dim=1)
        present = noisy.mask.unsqueeze(-1).to(noisy.z)
        whole = torch.cat([_time_features(noisy.time), num_atoms.to(noisy.z).log().unsqueeze(-1), noisy.z], dim=-1)
        flags = torch.zeros_like(q) if self.attention is not None else known.to(q)
        context = nn.functional.silu(self.context(whole) + self.q_embedding(torch.cat([q * flags, flags], dim=-1)))
        pairs, directions = self._pairs(noisy, num_atoms, context)
        attend = torch.zeros_like(present).masked_fill(~noisy.mask.unsqueeze(-1), -torch.inf).transpose(1, 2)[:, None]
        h = self.element_embedding(torch.cat([self.features[noisy.types], self.learned(noisy.types)], dim=-1))
        shared = self.modulation(context).unsqueeze(1)
        tokens = None if self.attention is None else self.attention.of(q, known)
        for index, layer in enumerate(self.layers):
            h = layer(h, pairs=pairs, attend=attend, shared=shared)
            if self.attention is not None and tokens is not None:
                h = h + self.attention(index, h, *tokens)
        h = self.norm(h)
        pooled = (h * present).sum(1) / present.sum(1)
        edges = self._edges(h, pairs, noisy.mask)
        v = self.to_v(pooled + context) + self._strain(edges, directions, noisy.mask)
        return Prediction(v, self._shift(edges, directions, noisy.mask), self.to_logits(h))

    def clean(self, noisy: Noisy, predicted: Prediction) -> tuple[Tensor, Tensor]:
        """Return z of the predicted clean lattice, shape (B, 6), and the displacements to the clean coordinates.

        The displacements are fractional, shape (B, N, 3).
        """
        alpha, sigma = lattice_signal(noisy.time).unsqueeze(-1), lattice_noise(noisy.time).unsqueeze(-1)
        z = (alpha * noisy.z - sigma * predicted.v).clamp(-MAX_LATTICE, MAX_LATTICE)
        return z, shift_scale(noisy.time)[:, None, None] * predicted.shift

    def _pairs(self, noisy: Noisy, num_atoms: Tensor, context: Tensor) -> tuple[Tensor, _Directions]:
        """Return the embedded geometry of all pairs, shape (B, N, N, pair_width), and their directions."""
        with torch.no_grad():
            coordinates = self.lattice.coordinates(noisy.z, num_atoms)
            # The cell whose vectors are the rows of the symmetric root of the metric: strains add to its logarithm.
            cells = metric_from_coordinates(0.5 * coordinates)
            differences = wrap(noisy.x.unsqueeze(1) - noisy.x.unsqueeze(2))
            images, weights = near_images(differences)
            vectors = (images.flatten(1, 3) @ cells).view_as(images)
            distances = vectors.square().sum(-1).sqrt()
            unit = (coordinates[:, 0] * math.sqrt(3) - num_atoms.to(coordinates).log()).div(3).exp()
            centres = torch.linspace(*RADIAL_RANGE, NUM_RADIAL, dtype=distances.dtype, device=distances.device)
            step = centres[1] - centres[0]
            scaled = (distances / (step * unit[:, None, None, None])).unsqueeze(-2)
            # In place: in training this array is the largest by far.
            radial = (scaled - (centres / step).unsqueeze(-1)).square_().mul_(-0.7).exp_().mul_(weights.unsqueeze(-2))
            frequencies = torch.arange(1, NUM_FREQUENCIES + 1, dtype=distances.dtype, device=distances.device)
            phases = (2 * math.pi * differences.unsqueeze(-1) * frequencies).flatten(-2)
            geometry = torch.cat([phases.sin(), phases.cos(), radial.sum(-1)], dim=-1)
            x, y, z = (vectors / distances.clamp(min=1e-6).unsqueeze(-1)).unbind(-1)
            tensors = torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], dim=-1)
            summed = radial @ torch.cat([images / TORUS_SPREAD, tensors], dim=-1)
            directions = _Directions(summed[..., :3], summed[..., 3:])
        whole = self.pair_context(torch.cat([noisy.z, context], dim=-1))[:, None, None]
        return self.pair_mix(nn.functional.silu(self.pair_features(geometry) + whole)), directions

    def _edges(self, atoms: Tensor, pairs: Tensor, mask: Tensor) -> Tensor:
        """Return what is read out of each pair, zero for padding, shape (B, N, N, 2 · radial + 3)."""
        senders, receivers = self.edge_ends(atoms).chunk(2, dim=-1)
        edges = nn.functional.silu(senders.unsqueeze(1) + receivers.unsqueeze(2) + self.edge_pair(pairs))
        return self.from_edges(edges) * (mask.unsqueeze(1) & mask.unsqueeze(2)).unsqueeze(-1)

    def _shift(self, edges: Tensor, directions: _Directions, mask: Tensor) -> Tensor:
        """Return the scaled displacements: forces along all connections, and free ones, without their mean."""
        strengths, free = edges[..., :NUM_RADIAL].flatten(2).unsqueeze(2), edges[..., -3:].sum(2)
        along = (strengths @ directions.vectors.flatten(2, 3)).squeeze(2)
        return remove_mean(along + free * mask.sum(1).to(free).rsqrt()[:, None, None], mask)

    def _strain(self, edges: Tensor, directions: _Directions, mask: Tensor) -> Tensor:
        """Return whitened coordinates of the strain that the connections exert on the lattice, shape (B, 6)."""
        strengths = edges[..., NUM_RADIAL : 2 * NUM_RADIAL].flatten(1).unsqueeze(1)
        tensors = (strengths @ directions.tensors.flatten(1, 3)).squeeze(1) / mask.sum(1, keepdim=True)
        matrices = basis(tensors.dtype).to(tensors.device)[:, _FIRST, _SECOND]
        scales = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]).to(tensors)
        strain = tensors @ (matrices * scales).T @ self.lattice.whiten
        return strain / self.lattice.whiten.diagonal().mean()


def _time_features(time: Tensor) -> Tensor:
    """Return sines and cosines of the time, shape (B, 32)."""
    frequencies = torch.exp(torch.linspace(0, math.log(100.0), 16, dtype=time.dtype, device=time.device))
    angles = time.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
