"""The terms of the loss of Φ_Q (paper Eq 7), each over the labels that exist."""

from __future__ import annotations

import torch
from torch import nn

from aiida_qagenai.common.descriptors import FIELDS, block_slices
from aiida_qagenai.exchange.tasks import DescriptorOptions
from aiida_qagenai.ml.descriptors.network import DescriptorModel

__all__ = ('loss_terms', 'weighted')

SLICES = block_slices()
GAP = FIELDS.index('band_gap')


def loss_terms(
    model: DescriptorModel,
    latent: torch.Tensor,
    targets: torch.Tensor,
    fractions: torch.Tensor,
    log_volumes: torch.Tensor,
) -> dict[str, torch.Tensor]:
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
    elf = SLICES['elf']
    complete = torch.isfinite(targets[:, elf]).all(dim=1)
    histogram = targets[complete][:, elf]
    decoded = model.decoder(latent)
    volume = (log_volumes - model.volume[0]) / model.volume[1]
    reconstruction = nn.functional.cross_entropy(decoded[:, :-1], fractions) - _entropy(fractions)
    return {
        'dos': _masked(nn.functional.mse_loss, raw[:, dos], normalised[:, dos]),
        'band_gap': _masked(nn.functional.huber_loss, raw[:, [GAP]], normalised[:, [GAP]]),
        'elf': nn.functional.kl_div(raw[complete][:, elf].log_softmax(-1), histogram, reduction='batchmean')
        if complete.any()
        else raw.sum() * 0,
        'laplacian': _masked(nn.functional.mse_loss, raw[:, SLICES['laplacian']], normalised[:, SLICES['laplacian']]),
        'response': _masked(nn.functional.mse_loss, raw[:, SLICES['response']], normalised[:, SLICES['response']]),
        'reconstruction': reconstruction + nn.functional.mse_loss(decoded[:, -1], volume),
    }


def weighted(terms: dict[str, torch.Tensor], options: DescriptorOptions) -> torch.Tensor:
    """Return Σ λ L over the terms."""
    return torch.stack([getattr(options, f'weight_{name}') * term for name, term in terms.items()]).sum()


def _masked(loss, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """Return ``loss`` over the finite entries of ``target``."""
    finite = torch.isfinite(target)
    if not finite.any():
        return predicted.sum() * 0
    return loss(predicted[finite], target[finite])


def _entropy(fractions: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of the fractions: the least that their cross entropy can be."""
    return -torch.xlogy(fractions, fractions).sum(dim=-1).mean()
