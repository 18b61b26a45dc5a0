"""The denoiser: a transformer over the atoms of a cell that predicts the clean structure.

Shapes: B structures padded to N atoms, K elements, Q descriptors. Coordinates enter only through differences (Fourier
features, and distances to the nearest image in the metric of the noisy lattice), so that a translation changes nothing;
no position in the list of atoms enters, so that a permutation permutes the output; the orientation never enters at all.
What holds for the whole cell (noise level, lattice, number of atoms, q) modulates every layer through one shared map.
"""

from __future__ import annotations

import itertools
import math
import typing as t

import torch
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.ml.elements import NUM_FEATURES
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_noise, lattice_signal, remove_mean, wrap
from aiida_qagenai.ml.generator.lattice import LatticeCode, metric_from_coordinates

__all__ = ('SIZES', 'Denoiser', 'Noisy', 'Prediction', 'nearest_images')

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


def nearest_images(differences: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to the nearest images, shape (B, N, N, 3), and their lengths, shape (B, N, N), Å.

    In a reduced cell the nearest image of a difference is one of the corners of the cell around it.

    :param differences: in [−½, ½), shape (B, N, N, 3).
    :param metric: shape (B, 3, 3), Å2.
    """
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).to(differences)
    images = differences.unsqueeze(-2) - differences.sign().unsqueeze(-2) * corners
    squares = ((images.flatten(1, 3) @ metric).view_as(images) * images).sum(-1)
    smallest, chosen = squares.min(-1)
    nearest = images.gather(-2, chosen[..., None, None].expand(*chosen.shape, 1, 3)).squeeze(-2)
    return nearest, smallest.clamp(min=0).sqrt()


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
    """

    q_mean: Tensor
    q_deviation: Tensor
    features: Tensor

    def __init__(self, num_elements: int, *, width: int, num_heads: int, num_layers: int, pair_width: int) -> None:
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
        self.to_shift = nn.Linear(2 * pair_width, 4)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        for layer in (self.to_v[2], self.to_shift):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

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
        flags = known.to(q)
        context = nn.functional.silu(self.context(whole) + self.q_embedding(torch.cat([q * flags, flags], dim=-1)))
        nearest, pairs = self._pairs(noisy, num_atoms, context)
        attend = torch.zeros_like(present).masked_fill(~noisy.mask.unsqueeze(-1), -torch.inf).transpose(1, 2)[:, None]
        h = self.element_embedding(torch.cat([self.features[noisy.types], self.learned(noisy.types)], dim=-1))
        shared = self.modulation(context).unsqueeze(1)
        for layer in self.layers:
            h = layer(h, pairs=pairs, attend=attend, shared=shared)
        h = self.norm(h)
        pooled = (h * present).sum(1) / present.sum(1)
        return Prediction(self.to_v(pooled + context), self._shift(h, pairs, nearest, noisy.mask), self.to_logits(h))

    def clean(self, noisy: Noisy, predicted: Prediction) -> tuple[Tensor, Tensor]:
        """Return z of the predicted clean lattice, shape (B, 6), and the displacements to the clean coordinates.

        The displacements are fractional, shape (B, N, 3).
        """
        alpha, sigma = lattice_signal(noisy.time).unsqueeze(-1), lattice_noise(noisy.time).unsqueeze(-1)
        z = (alpha * noisy.z - sigma * predicted.v).clamp(-MAX_LATTICE, MAX_LATTICE)
        return z, shift_scale(noisy.time)[:, None, None] * predicted.shift

    def _pairs(self, noisy: Noisy, num_atoms: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return differences to the nearest images over the width of the torus, and the embedded geometry of all pairs.

        Shapes (B, N, N, 3) and (B, N, N, pair_width).
        """
        with torch.no_grad():
            coordinates = self.lattice.coordinates(noisy.z, num_atoms)
            metric = metric_from_coordinates(coordinates)
            nearest, distances = nearest_images(wrap(noisy.x.unsqueeze(1) - noisy.x.unsqueeze(2)), metric)
            unit = (coordinates[:, 0] * math.sqrt(3) - num_atoms.to(coordinates).log()).div(3).exp()
            centres = torch.linspace(*RADIAL_RANGE, NUM_RADIAL, dtype=distances.dtype, device=distances.device)
            radial = ((distances / unit[:, None, None]).unsqueeze(-1) - centres) * (1.2 / (centres[1] - centres[0]))
            frequencies = torch.arange(1, NUM_FREQUENCIES + 1, dtype=nearest.dtype, device=nearest.device)
            phases = (2 * math.pi * nearest.unsqueeze(-1) * frequencies).flatten(-2)
            geometry = torch.cat([phases.sin(), phases.cos(), radial.square().neg().exp()], dim=-1)
        whole = self.pair_context(torch.cat([noisy.z, context], dim=-1))[:, None, None]
        return nearest / TORUS_SPREAD, self.pair_mix(nn.functional.silu(self.pair_features(geometry) + whole))

    def _shift(self, atoms: Tensor, pairs: Tensor, nearest: Tensor, mask: Tensor) -> Tensor:
        """Return the scaled displacements as a mean over pairs, along their connections and free, without its mean."""
        ends = self.edge_ends(atoms)
        senders, receivers = ends.chunk(2, dim=-1)
        edges = nn.functional.silu(senders.unsqueeze(1) + receivers.unsqueeze(2) + self.edge_pair(pairs))
        output = self.to_shift(edges)
        contributions = (output[..., :1] * nearest + output[..., 1:]) * mask[:, None, :, None]
        scale = mask.sum(1).to(atoms).rsqrt()[:, None, None]
        return remove_mean(contributions.sum(dim=2) * scale, mask)


def _time_features(time: Tensor) -> Tensor:
    """Return sines and cosines of the time, shape (B, 32)."""
    frequencies = torch.exp(torch.linspace(0, math.log(100.0), 16, dtype=time.dtype, device=time.device))
    angles = time.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
