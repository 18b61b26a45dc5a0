"""The descriptor model Φ_Q: quantum descriptors q from a structure, or from a composition alone.

Φ_Q has two encoders into one latent space: a graph isomorphism network for structures, a set network for formulas.

Only distances enter, so that q does not depend on the orientation, the origin, the order of the atoms or the choice of
the cell. The ELF histogram is a softmax and sums to 1.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import torch
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import FIELDS, NUM_DESCRIPTORS, block_slices
from aiida_qagenai.exchange.tasks import DescriptorOptions
from aiida_qagenai.ml.checkpoints import load_checkpoint, rebuild
from aiida_qagenai.ml.elements import element_numbers
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('ELF', 'SIZES', 'DescriptorModel', 'load_descriptor_model', 'loss_terms', 'weighted')

SIZES: dict[str, dict[str, t.Any]] = {
    'tiny': {'channels': 32, 'num_layers': 2, 'cutoff': 4.0, 'num_radial': 16},
    'base': {'channels': 128, 'num_layers': 4, 'cutoff': 6.0, 'num_radial': 48},
}
SLICES = block_slices()
ELF = SLICES['elf']
"""The ELF histogram in the packed vector."""

GAP = FIELDS.index('band_gap')


class _Convolution(nn.Module):
    """h_i ← h_i + MLP((1 + ε) h_i + Σ_j h_j ⊙ W(r_ij)): the GIN update with weights from distances."""

    def __init__(self, channels: int, num_radial: int) -> None:
        super().__init__()
        self.filter = nn.Sequential(nn.Linear(num_radial, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.update = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, h: Tensor, graph: CrystalGraph, radial: Tensor, envelope: Tensor) -> Tensor:
        messages = h[graph.senders] * self.filter(radial) * envelope
        summed = torch.zeros_like(h).index_add(0, graph.receivers, messages)
        return h + self.update((1 + self.epsilon) * h + 0.1 * summed)


class DescriptorModel(nn.Module):
    """The descriptor model.

    Buffers ``mean`` and ``deviation``, shape (NUM_DESCRIPTORS,), normalise the fields; ``trained`` tells which fields
    had labels; ``volume`` holds mean and deviation of the log volume per atom.
    """

    centres: Tensor
    mean: Tensor
    deviation: Tensor
    trained: Tensor
    volume: Tensor

    def __init__(self, num_elements: int, *, channels: int, num_layers: int, cutoff: float, num_radial: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.num_elements = num_elements
        self.embedding = nn.Embedding(num_elements, channels)
        self.convolutions = nn.ModuleList(_Convolution(channels, num_radial) for _ in range(num_layers))
        self.from_structure = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.from_composition = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.head_output = nn.Linear(channels, NUM_DESCRIPTORS)
        # Reconstruction of the input (paper Eq 7, L_recon): the atomic fractions and the log volume per atom.
        self.decoder = nn.Sequential(
            nn.SiLU(), nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, num_elements + 1)
        )
        self.register_buffer('centres', torch.linspace(0.5, cutoff, num_radial))
        self.register_buffer('mean', torch.zeros(NUM_DESCRIPTORS))
        self.register_buffer('deviation', torch.ones(NUM_DESCRIPTORS))
        self.register_buffer('trained', torch.ones(NUM_DESCRIPTORS))
        self.register_buffer('volume', torch.tensor([0.0, 1.0]))

    def encode_structure(self, graph: CrystalGraph) -> Tensor:
        """Return the latent vector of each structure, shape (B, channels)."""
        distances = graph.edge_vectors().norm(dim=-1, keepdim=True)
        width = self.cutoff / len(self.centres)
        radial = torch.exp(-0.5 * ((distances - self.centres) / width) ** 2)
        envelope = 0.5 * (torch.cos(torch.pi * (distances / self.cutoff).clamp(max=1.0)) + 1)
        h = self.embedding(graph.species)
        for convolution in self.convolutions:
            h = convolution(h, graph, radial, envelope)
        return self.from_structure(graph.pool_mean(h))

    def encode_composition(self, fractions: Tensor) -> Tensor:
        """Return the latent vector of each composition, shape (B, channels), from atomic fractions (B, elements)."""
        return self.from_composition(fractions @ self.embedding.weight)

    def raw(self, latent: Tensor) -> Tensor:
        """Return normalised fields, and logits in the place of the ELF histogram, shape (B, NUM_DESCRIPTORS)."""
        return self.head_output(self.head(latent))

    def physical(self, raw: Tensor) -> Tensor:
        """Return q in its units, shape (B, NUM_DESCRIPTORS); fields that never had labels are NaN."""
        q = raw * self.deviation + self.mean
        q = torch.cat([q[:, : ELF.start], raw[:, ELF].softmax(dim=-1), q[:, ELF.stop :]], dim=1)
        return torch.where(self.trained > 0, q, torch.full_like(q, float('nan')))

    def predict_structure(self, graph: CrystalGraph) -> Tensor:
        """Return Φ_Q(structure), shape (B, NUM_DESCRIPTORS)."""
        return self.physical(self.raw(self.encode_structure(graph)))

    def predict_composition(self, fractions: Tensor) -> Tensor:
        """Return Φ_Q(composition), shape (B, NUM_DESCRIPTORS), from atomic fractions (B, elements)."""
        return self.physical(self.raw(self.encode_composition(fractions)))


def load_descriptor_model(folder: Path, runtime: Runtime) -> tuple[DescriptorModel, tuple[int, ...]]:
    """Return the model in ``folder``, ready to predict, and the atomic numbers of its elements."""
    tensors, info = load_checkpoint(folder, 'descriptor')
    model = rebuild(DescriptorModel, tensors, info, runtime.dtype).to(runtime.device)
    return model.eval(), element_numbers(info.elements)


def loss_terms(
    model: DescriptorModel, latent: Tensor, targets: Tensor, fractions: Tensor, log_volumes: Tensor
) -> dict[str, Tensor]:
    """Return the terms by name; one without any label is 0.

    The moments of the density of states are compared after normalisation (they may be negative, so that the logarithm
    of the paper does not apply), the gap by Huber, the ELF histogram by KL divergence.

    :param latent: from either encoder, shape (B, channels).
    :param targets: q in physical units, shape (B, NUM_DESCRIPTORS), NaN where missing.
    :param fractions: atomic fractions, shape (B, elements).
    :param log_volumes: log of the volume per atom, shape (B,).
    """
    raw = model.raw(latent)
    normalised = (targets - model.mean) / model.deviation
    dos = [index for index in range(SLICES['dos'].start, SLICES['dos'].stop) if index != GAP]
    complete = torch.isfinite(targets[:, ELF]).all(dim=1)
    logits, histogram = raw[complete][:, ELF], targets[complete][:, ELF]
    decoded = model.decoder(latent)
    volume = (log_volumes - model.volume[0]) / model.volume[1]
    # The entropy of the fractions is the least that their cross entropy can be.
    entropy = -torch.xlogy(fractions, fractions).sum(dim=-1).mean()
    reconstruction = nn.functional.cross_entropy(decoded[:, :-1], fractions) - entropy

    def masked(loss: t.Callable[..., Tensor], columns: slice | list[int]) -> Tensor:
        """Return ``loss`` over the finite labels of some columns."""
        finite = torch.isfinite(normalised[:, columns])
        return loss(raw[:, columns][finite], normalised[:, columns][finite]) if finite.any() else raw.sum() * 0

    return {
        'dos': masked(nn.functional.mse_loss, dos),
        'band_gap': masked(nn.functional.huber_loss, [GAP]),
        'elf': nn.functional.kl_div(logits.log_softmax(-1), histogram, reduction='batchmean')
        if complete.any()
        else raw.sum() * 0,
        'laplacian': masked(nn.functional.mse_loss, SLICES['laplacian']),
        'response': masked(nn.functional.mse_loss, SLICES['response']),
        'reconstruction': reconstruction + nn.functional.mse_loss(decoded[:, -1], volume),
    }


def weighted(terms: dict[str, Tensor], options: DescriptorOptions) -> Tensor:
    """Return Σ λ L over the terms."""
    return torch.stack([getattr(options, f'weight_{name}') * term for name, term in terms.items()]).sum()
