"""The network that predicts band gaps at several levels of theory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aiida_qagenai.ml.latent import Standardised, hidden_layers

__all__ = ('GapNetwork',)

METALS_KNOWN = 2
"""Levels, the first ones, whose labels have metals; the published gaps of the others are of insulators only."""


class GapNetwork(Standardised):
    """A multilayer perceptron with two answers per level: the gap if there is one, and whether there is one.

    A level differs from the first by a read-out of its own, or, where it has few labels, by a factor and a constant.

    :param few: for each level behind the first, whether it has few labels.
    """

    own: Tensor

    def __init__(self, inputs: int, *, width: int, few: Sequence[bool], dropout: float = 0.0) -> None:
        super().__init__(inputs)
        self.hidden = hidden_layers(inputs, width, dropout)
        self.read_out = nn.Linear(width, 2)
        self.shift = nn.Linear(width, len(few))
        self.factor = nn.Parameter(torch.ones(len(few)))
        self.metals = nn.Linear(width, 1)
        for layer in (self.shift, self.metals):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer('own', torch.tensor([not each for each in few], dtype=torch.float32))

    def forward(self, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gaps if there are any, eV, and the logits that there are, both of shape (n, levels)."""
        hidden = self.hidden(standardised)
        first, logit = self.read_out(hidden).split(1, dim=1)
        shift = nn.functional.linear(hidden, self.shift.weight * self.own[:, None], self.shift.bias)
        others = first * self.factor + shift
        other_logits = (logit + self.metals(hidden)).expand_as(others)
        return nn.functional.softplus(torch.cat([first, others], 1)), torch.cat([logit, other_logits], 1)

    def loss(self, standardised: Tensor, gaps: Tensor) -> Tensor:
        """Return cross entropy of metals and insulators plus the Huber loss of the gaps of insulators.

        :param gaps: shape (n, levels), eV, NaN where there is no label.
        """
        predicted, logits = self(standardised)
        known = torch.isfinite(gaps)
        known[:, METALS_KNOWN:] = False
        insulators = gaps > 0
        entropy = nn.functional.binary_cross_entropy_with_logits(logits[known], insulators[known].to(logits))
        if not insulators.any():
            return entropy
        return entropy + nn.functional.huber_loss(predicted[insulators], gaps[insulators], delta=HUBER) / HUBER


HUBER = 0.3
"""Error of a gap below which the loss is quadratic, eV."""
