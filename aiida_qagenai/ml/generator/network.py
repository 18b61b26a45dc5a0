"""The denoiser: a transformer over the atoms and one token of the lattice.

Shapes: B structures padded to N atoms, K elements, Q descriptors. Coordinates enter only through differences (Fourier
features, and distances to the images in the metric of the noisy lattice), so that a translation changes nothing; no
position in the list of atoms enters, so that a permutation permutes the output; the orientation never enters at all.
"""

from __future__ import annotations

import itertools
import math
import typing as t
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, block_slices
from aiida_qagenai.ml.generator.diffusion import coordinate_width, lattice_signal, remove_mean, score_scale, wrap
from aiida_qagenai.ml.generator.lattice import LatticeCode

__all__ = ('SIZES', 'Denoiser', 'Noisy', 'Prediction')

SIZES: dict[str, dict[str, t.Any]] = {
    'tiny': {'width': 64, 'num_heads': 4, 'num_layers': 3, 'pair_width': 32},
    'base': {'width': 256, 'num_heads': 8, 'num_layers': 4, 'pair_width': 64},
}
NUM_FREQUENCIES = 4
NUM_RADIAL = 10
RADIAL_CUTOFF = 5.0
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

    :param v: velocity of the lattice, shape (B, 6).
    :param score: score of the coordinates over its root mean square, zero sum per structure, shape (B, N, 3).
    :param logits: of the elements, shape (B, N, K).
    """

    v: Tensor
    score: Tensor
    logits: Tensor


class _Layer(nn.Module):
    """Attention with a geometric bias and geometric values, attention to q, and an MLP, all modulated by the time."""

    def __init__(self, width: int, num_heads: int, pair_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.modulation = nn.Linear(width, 9 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.pair_bias = nn.Linear(pair_width, num_heads)
        self.pair_value = nn.Linear(num_heads * pair_width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.cross_query = nn.Linear(width, width)
        self.cross_key_value = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, *, pairs: Tensor, attend: Tensor, q_tokens: Tensor, time: Tensor) -> Tensor:
        """Return the new tokens, shape (B, T, width).

        :param pairs: geometry, shape (B, T, T, pair_width).
        :param attend: 0 where a token may look and −∞ where not, shape (B, 1, 1, T).
        """
        modulation = self.modulation(time).unsqueeze(1).chunk(9, dim=-1)
        residuals: tuple[Callable[[Tensor], Tensor], ...] = (
            lambda y: self._self_attention(y, pairs, attend),
            lambda y: self._cross_attention(y, q_tokens),
            self.mlp,
        )
        for index, residual in enumerate(residuals):
            scale, shift, gate = modulation[3 * index : 3 * index + 3]
            h = h + (1 + gate) * residual(self.norms[index](h) * (1 + scale) + shift)
        return h

    def _heads(self, y: Tensor) -> Tensor:
        heads: Tensor = y.unflatten(-1, (self.num_heads, -1))  # type: ignore[no-untyped-call]
        return heads.transpose(1, 2)

    def _self_attention(self, y: Tensor, pairs: Tensor, attend: Tensor) -> Tensor:
        query, key, value = (self._heads(part) for part in self.qkv(y).chunk(3, dim=-1))
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = (logits + self.pair_bias(pairs).permute(0, 3, 1, 2) + attend).softmax(dim=-1)
        # Each head also gathers the geometry of the pairs, which gives the message its direction.
        geometric = weights.transpose(1, 2) @ pairs
        return self.out((weights @ value).transpose(1, 2).flatten(2)) + self.pair_value(geometric.flatten(2))

    def _cross_attention(self, y: Tensor, q_tokens: Tensor) -> Tensor:
        query = self._heads(self.cross_query(y))
        key, value = (self._heads(part) for part in self.cross_key_value(q_tokens).chunk(2, dim=-1))
        weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(dim=-1)
        return self.cross_out((weights @ value).transpose(1, 2).flatten(2))


class Denoiser(nn.Module):
    """The denoiser, with the code of the lattice and the normalisation of q (``q_mean``, ``q_deviation``: (Q,))."""

    q_mean: Tensor
    q_deviation: Tensor
    images: Tensor
    centres: Tensor

    def __init__(self, num_elements: int, *, width: int, num_heads: int, num_layers: int, pair_width: int) -> None:
        super().__init__()
        self.num_elements = num_elements
        self.lattice = LatticeCode()
        self.register_buffer('q_mean', torch.zeros(NUM_DESCRIPTORS))
        self.register_buffer('q_deviation', torch.ones(NUM_DESCRIPTORS))
        images = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
        self.register_buffer('images', images, persistent=False)
        self.register_buffer('centres', torch.linspace(0.4, RADIAL_CUTOFF, NUM_RADIAL), persistent=False)
        self.element_embedding = nn.Embedding(num_elements + 1, width)
        self.lattice_embedding = nn.Linear(7, width)
        self.time_embedding = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.blocks = list(block_slices().values())
        self.q_embedding = nn.ModuleList(nn.Linear(2 * (s.stop - s.start), width) for s in self.blocks)
        num_features = 6 * NUM_FREQUENCIES + NUM_RADIAL + 1
        self.pair_embedding = nn.Sequential(
            nn.Linear(num_features, pair_width), nn.SiLU(), nn.Linear(pair_width, pair_width)
        )
        self.layers = nn.ModuleList(_Layer(width, num_heads, pair_width) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.to_v = nn.Linear(width, 6)
        self.to_logits = nn.Linear(width, num_elements)
        self.pair_score = nn.Sequential(nn.SiLU(), nn.Linear(width, 3))
        self.score_sender = nn.Linear(width, width)
        self.score_receiver = nn.Linear(width, width)
        self.score_pair = nn.Linear(pair_width, width)
        for layer in (self.to_v, self.pair_score[1]):
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
        pairs = self._pairs(noisy, num_atoms)
        size = num_atoms.to(noisy.z).log().unsqueeze(-1)
        lattice_token = self.lattice_embedding(torch.cat([noisy.z, size], dim=-1)).unsqueeze(1)
        h = torch.cat([self.element_embedding(noisy.types), lattice_token], dim=1)
        present = nn.functional.pad(noisy.mask, (0, 1), value=True)
        attend = torch.zeros_like(present, dtype=h.dtype).masked_fill(~present, -torch.inf)[:, None, None, :]
        time = self.time_embedding(_time_features(noisy.time))
        q_tokens = self._q_tokens(q, known)
        for layer in self.layers:
            h = layer(h, pairs=pairs, attend=attend, q_tokens=q_tokens, time=time)
        h = self.norm(h)
        atoms = h[:, :-1]
        return Prediction(
            self.to_v(h[:, -1]), self._score(atoms, pairs[:, :-1, :-1], noisy.mask), self.to_logits(atoms)
        )

    def clean(self, noisy: Noisy, predicted: Prediction) -> tuple[Tensor, Tensor]:
        """Return z of the predicted clean lattice, shape (B, 6), and the displacements to the clean coordinates.

        The displacements are fractional, shape (B, N, 3).
        """
        alpha = lattice_signal(noisy.time).unsqueeze(-1)
        z = (alpha * noisy.z - (1 - alpha**2).sqrt() * predicted.v).clamp(-MAX_LATTICE, MAX_LATTICE)
        scale = coordinate_width(noisy.time) ** 2 * score_scale(noisy.time)
        return z, scale[:, None, None] * predicted.score

    def _pairs(self, noisy: Noisy, num_atoms: Tensor) -> Tensor:
        """Return the embedded geometry of all pairs of tokens, shape (B, N + 1, N + 1, pair_width)."""
        with torch.no_grad():
            metric = self.lattice.decode(noisy.z, num_atoms)
            differences = wrap(noisy.x.unsqueeze(1) - noisy.x.unsqueeze(2))
            frequencies = torch.arange(1, NUM_FREQUENCIES + 1, dtype=differences.dtype, device=differences.device)
            phases = (2 * math.pi * differences.unsqueeze(-1) * frequencies).flatten(-2)
            radial = self._radial(differences, metric)
            geometry = torch.cat([phases.sin(), phases.cos(), radial], dim=-1)
            is_atom = torch.ones_like(geometry[..., :1])
            features = nn.functional.pad(torch.cat([geometry, is_atom], dim=-1), (0, 0, 0, 1, 0, 1))
        return self.pair_embedding(features)

    def _radial(self, differences: Tensor, metric: Tensor) -> Tensor:
        """Return Gaussians of the distances, summed over 27 images, shape (B, N, N, radial).

        In place where possible: in training this array is the largest by far.
        """
        displaced = differences.unsqueeze(-2) + self.images
        squares = ((displaced.flatten(1, 3) @ metric).view_as(displaced) * displaced).sum(dim=-1)
        distances = squares.clamp_(min=0).sqrt_()
        envelope = 0.5 * (torch.cos(math.pi / RADIAL_CUTOFF * distances.clamp(max=RADIAL_CUTOFF)) + 1)
        gaussians = distances.unsqueeze(-1) - self.centres
        gaussians.mul_(NUM_RADIAL / RADIAL_CUTOFF).square_().neg_().exp_()
        return torch.einsum('bijmr,bijm->bijr', gaussians, envelope)

    def _q_tokens(self, q: Tensor, known: Tensor) -> Tensor:
        """Return one token per block of descriptors, shape (B, blocks, width)."""
        flags = known.to(q)
        tokens = [
            embed(torch.cat([q[:, s] * flags[:, s], flags[:, s]], dim=-1))
            for embed, s in zip(self.q_embedding, self.blocks, strict=True)
        ]
        return torch.stack(tokens, dim=1)

    def _score(self, atoms: Tensor, pairs: Tensor, mask: Tensor) -> Tensor:
        """Return the scaled score as a sum over pairs, without its mean, shape (B, N, 3)."""
        edges = self.score_sender(atoms).unsqueeze(1) + self.score_receiver(atoms).unsqueeze(2) + self.score_pair(pairs)
        contributions = self.pair_score(edges) * mask[:, None, :, None]
        return remove_mean(contributions.sum(dim=2), mask)


def _time_features(time: Tensor) -> Tensor:
    """Return sines and cosines of the time, shape (B, 32)."""
    frequencies = torch.exp(torch.linspace(0, math.log(100.0), 16, dtype=time.dtype, device=time.device))
    angles = time.unsqueeze(-1) * frequencies * math.pi
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
