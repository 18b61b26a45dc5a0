"""The loss of a micro-batch (paper Eq 2): energies and, where a level has them, forces and stresses.

w_l [ Huber(E) / Var E + λ_F Huber(F) / Var F + λ_S Huber(S) / Var S ], each a mean over the labels of the micro-batch.
The variances are those of the labels of the level, so that the λ compare like with like. A label that is not fully
trusted enters the mean with its weight.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aiida_qagenai.common.errors import NonFiniteError
from aiida_qagenai.evaluation.influence import MAD_TO_SIGMA
from aiida_qagenai.exchange.tasks import ValidatorOptions
from aiida_qagenai.ml.graph import CrystalGraph
from aiida_qagenai.ml.validator.derivatives import with_derivatives
from aiida_qagenai.ml.validator.network import MultiFidelityPotential

__all__ = ('Scale', 'Scales', 'Targets', 'micro_batch_loss')

HUBER = 1.345
"""Threshold of the Huber loss in standard deviations of the residuals: 95 % efficient where these are normal."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """Labels of a micro-batch on one level.

    :param energies: shape (B,), eV/atom.
    :param forces: shape (N, 3), eV/Å, NaN on structures without; None if none has any.
    :param stresses: shape (B, 3, 3), eV/Å3, likewise.
    :param weights: how much the labels of each structure count, shape (B,); 1 if None.
    """

    energies: Tensor
    forces: Tensor | None = None
    stresses: Tensor | None = None
    weights: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Scale:
    """What the errors of one kind of label are measured in.

    :param deviation: standard deviation of the labels.
    :param threshold: error beyond which the loss grows linearly; infinite for a plain square.
    """

    deviation: float = 1.0
    threshold: float = 1.0

    @classmethod
    def of(cls, labels: NDArray[np.float64], residuals: NDArray[np.float64], smallest: float) -> Scale:
        """Return the scale of ``labels``, whose outliers stick out of ``residuals`` about a first fit.

        The spread of the residuals is their median absolute deviation, which outliers do not move.

        :param smallest: least value of both.
        :raises NonFiniteError: if the labels are too large for their spread to be a number.
        """
        spread = MAD_TO_SIGMA * float(np.median(np.abs(residuals - np.median(residuals))))
        deviation = float(labels.std())
        if not np.isfinite([deviation, spread]).all():
            raise NonFiniteError(f'the spread of labels of up to {np.abs(labels).max():.3g} is not finite')
        return cls(max(deviation, smallest), max(HUBER * spread, smallest))

    def loss(self, residuals: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean Huber loss over the variance of the labels; of residuals that are NaN there is none.

        :param weights: of the first axis of ``residuals``; 1 if None.
        """
        there = ~residuals.isnan()
        known = residuals[there]
        zeros = torch.zeros_like(known)
        if math.isinf(self.threshold):
            losses = known**2 / 2
        else:
            losses = nn.functional.huber_loss(known, zeros, reduction='none', delta=self.threshold)
        if weights is not None:
            losses = losses * weights.view(-1, *[1] * (residuals.dim() - 1)).expand_as(residuals)[there]
        return losses.mean() / self.deviation**2


@dataclasses.dataclass(frozen=True)
class Scales:
    """The scales of energies (eV/atom), forces (eV/Å) and stresses (eV/Å3) of one level."""

    energies: Scale = Scale()
    forces: Scale = Scale()
    stresses: Scale = Scale()

    def squares(self) -> Scales:
        """Return the scales of a loss that is a plain square, however large the error."""
        fields = {name: dataclasses.replace(scale, threshold=math.inf) for name, scale in vars(self).items()}
        return Scales(**fields)


def micro_batch_loss(
    model: MultiFidelityPotential,
    graph: CrystalGraph,
    targets: Targets,
    *,
    level: int,
    scales: Scales,
    options: ValidatorOptions,
) -> Tensor:
    """Return the loss (paper Eq 2, but for w_l) of structures with labels on one ``level``.

    Forces and stresses are left out, and with them the second backward pass, where no structure has any.
    """
    forces = targets.forces if options.force_weight else None
    stresses = targets.stresses if options.stress_weight else None
    predicted = None
    if forces is None and stresses is None:
        total = model(graph, level)
    else:
        total, *predicted = with_derivatives(lambda moved: model(moved, level), graph, trainable=True)
    weights = targets.weights
    loss = scales.energies.loss(total / graph.num_atoms - targets.energies, weights)
    if predicted is not None and forces is not None:
        of_atoms = None if weights is None else weights[graph.owner]
        loss = loss + options.force_weight * scales.forces.loss(predicted[0] - forces, of_atoms)
    if predicted is not None and stresses is not None:
        loss = loss + options.stress_weight * scales.stresses.loss(predicted[1] - stresses, weights)
    return loss
