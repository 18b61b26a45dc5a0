"""Cross-attention to q: atoms look at its known fields, the alternative to what enters with the noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS

__all__ = ('DescriptorAttention',)


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)


class DescriptorAttention(nn.Module):
    """One token for each field of q, and one of nothing, which is there where no field is known.

    Its output starts at zero: a trained denoiser that it is added to stays what it is until it learns.
    """

    def __init__(self, width: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.slopes = nn.Parameter(torch.randn(NUM_DESCRIPTORS, width))
        self.tokens = nn.Parameter(torch.randn(NUM_DESCRIPTORS + 1, width))
        self.layers = nn.ModuleList(_Layer(width) for _ in range(num_layers))

    def of(self, q: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens, shape (B, Q + 1, width), and 0 where atoms may look at them, −∞ elsewhere, (B, 1, 1, Q + 1).

        :param q: normalised descriptors, shape (B, Q).
        :param known: which of them to condition on, shape (B, Q), bool.
        """
        fields = self.tokens[:-1] + q.unsqueeze(-1) * self.slopes
        tokens = torch.cat([fields, self.tokens[-1:].expand(len(q), 1, -1)], dim=1)
        seen = torch.cat([known, known.new_ones(len(q), 1)], dim=1)
        return tokens, torch.zeros_like(tokens[..., 0]).masked_fill(~seen, -torch.inf)[:, None, None]

    def forward(self, index: int, h: Tensor, tokens: Tensor, attend: Tensor) -> Tensor:
        """Return what the atoms (B, N, width) take from the tokens after layer ``index``, in the same shape."""
        layer, (batch, number, width) = self.layers[index], h.shape
        query = layer.query(layer.norm(h)).view(batch, number, self.num_heads, -1).transpose(1, 2)  # type: ignore[operator]
        pair = layer.key_value(tokens).view(batch, -1, 2, self.num_heads, width // self.num_heads)  # type: ignore[operator]
        key, value = pair.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + attend).softmax(dim=-1)
        found: Tensor = layer.out((weights @ value).transpose(1, 2).reshape(batch, number, width))  # type: ignore[operator]
        return found
