"""The network of a property head, and how its last layer learns from further crystals.

The network predicts a number for each property, such as its logarithm. The last layer is linear in the hidden features
φ, and keeps the sum A of their products over the training set: new labels change it as if it had been fitted to both
(recursive least squares), so that nothing learned before is lost and no old crystal has to be seen again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aiida_qagenai.ml.latent import Standardised, hidden_layers

__all__ = ('PropertyNetwork',)

HUBER = 0.1
"""Error of a logarithm below which the loss is quadratic."""

RIDGE = 10.0
"""Prior precision of the coefficients of the last layer."""


class PropertyNetwork(Standardised):
    """A multilayer perceptron with a number for each property.

    :ivar coefficients: last layer, shape (width + 1, properties); the last row is the constant.
    :ivar precision: A, shape (width + 1, width + 1), in double precision.
    """

    precision: Tensor

    def __init__(self, inputs: int, *, width: int, properties: int, dropout: float = 0.0) -> None:
        super().__init__(inputs)
        self.hidden = hidden_layers(inputs, width, dropout)
        self.coefficients = nn.Parameter(torch.randn(width + 1, properties) / width**0.5)
        self.register_buffer('precision', RIDGE * torch.eye(width + 1, dtype=torch.float64))

    def basis(self, inputs: Tensor) -> Tensor:
        """Return φ of standardised inputs with a constant behind, shape (n, width + 1)."""
        hidden = self.hidden(inputs)
        return torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the numbers of the properties of standardised inputs, shape (n, properties)."""
        return self.basis(inputs) @ self.coefficients

    def loss(self, inputs: Tensor, numbers: Tensor, delta: float = HUBER) -> Tensor:
        """Return the Huber loss over the known labels.

        :param numbers: shape (n, properties), NaN where there is no label.
        :param delta: error below which the loss is quadratic.
        """
        known = torch.isfinite(numbers)
        return nn.functional.huber_loss(self(inputs)[known], numbers[known], delta=delta)

    @torch.no_grad()
    def remember(self, inputs: Tensor, weight: float = 1.0) -> None:
        """Add standardised inputs to A without changing what is predicted."""
        basis = self.basis(inputs).double()
        self.precision += weight * basis.T @ basis

    @torch.no_grad()
    def learn(self, inputs: Tensor, numbers: Tensor, weight: float) -> None:
        """Change the last layer as if it had been fitted to further labels as well.

        :param inputs: standardised, shape (n, d).
        :param numbers: shape (n, properties), NaN where there is no label; A grows by crystals with all of them.
        :param weight: of one of these crystals beside one of those that A has.
        """
        before = self.precision.clone()
        for place in range(numbers.shape[1]):
            known = torch.isfinite(numbers[:, place])
            basis = self.basis(inputs[known]).double()
            after = before + weight * basis.T @ basis
            old = self.coefficients[:, place].double()
            right = before @ old + weight * basis.T @ numbers[known, place].double()
            self.coefficients[:, place] = torch.linalg.solve(after, right).to(self.coefficients)
        self.remember(inputs[torch.isfinite(numbers).all(dim=1)], weight)
