"""The network that predicts band gaps at several levels of theory, and what it sees of a crystal or a composition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import NUM_FEATURES, element_statistics
from aiida_qagenai.ml.graph import CrystalGraph, collate
from aiida_qagenai.ml.validator.ensemble import Ensemble

__all__ = ('GapNetwork', 'composition_inputs', 'flat', 'latent_features', 'num_inputs', 'structure_inputs')

BATCH = 64
POOLS = 4
"""Ways in which the features of atoms become those of a crystal: mean, standard deviation, largest and smallest."""

CLIP = 6.0
"""Standardised inputs beyond this are read as this: a network knows nothing out there."""

METALS_KNOWN = 2
"""Levels, the first ones, whose labels have metals; the published gaps of the others are of insulators only."""


class GapNetwork(nn.Module):
    """A multilayer perceptron with two answers per level: the gap if there is one, and whether there is one.

    A level differs from the first by a read-out of its own, or, where it has few labels, by a factor and a constant.

    :param few: for each level behind the first, whether it has few labels.
    """

    mean: Tensor
    deviation: Tensor
    own: Tensor

    def __init__(self, inputs: int, *, width: int, few: Sequence[bool], dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(dropout),
            nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.read_out = nn.Linear(width, 2)
        self.shift = nn.Linear(width, len(few))
        self.factor = nn.Parameter(torch.ones(len(few)))
        self.metals = nn.Linear(width, 1)
        for layer in (self.shift, self.metals):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer('mean', torch.zeros(inputs))
        self.register_buffer('deviation', torch.ones(inputs))
        self.register_buffer('own', torch.tensor([not each for each in few], dtype=torch.float32))

    def standardised(self, inputs: Tensor) -> Tensor:
        """Return inputs as :meth:`forward` takes them."""
        return ((inputs - self.mean) / self.deviation).clamp(-CLIP, CLIP)

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


def latent_features(ensemble: Ensemble, graphs: Sequence[CrystalGraph], device: torch.device) -> NDArray[np.float32]:
    """Return what the members of a validator say of crystals, shape (n, members, ``POOLS``, channels)."""
    shape = (0, len(ensemble.members), POOLS, ensemble.members[0].channels)
    found = [np.zeros(shape, dtype=np.float32)]
    with torch.no_grad():
        for start in range(0, len(graphs), BATCH):
            batch = collate(graphs[start : start + BATCH]).to(device)
            features = [_pooled(member.node_features(batch), batch) for member in ensemble.members]
            found.append(torch.stack(features, dim=1).float().cpu().numpy())
    return np.concatenate(found)


def _pooled(features: Tensor, graph: CrystalGraph) -> Tensor:
    """Return mean, standard deviation, largest and smallest over the atoms of each crystal, shape (B, 4, channels)."""
    mean = graph.pool_mean(features)
    variance = graph.pool_mean((features - mean[graph.owner]) ** 2)
    owner, start = graph.owner[:, None].expand_as(features), torch.zeros_like(mean)
    extremes = [
        start.scatter_reduce(0, owner, features, reduction, include_self=False) for reduction in ('amax', 'amin')
    ]
    return torch.stack([mean, variance.sqrt(), *extremes], dim=1)


def composition_inputs(fractions: NDArray[np.float64], elements: Sequence[int]) -> NDArray[np.float64]:
    """Return what a network sees of compositions, shape (n, d), from atomic fractions, shape (n, elements)."""
    return np.concatenate([fractions, element_statistics(fractions, elements)], axis=1)


def structure_inputs(
    latent: NDArray[np.float32], structures: StructureBatch, composition: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a network sees of crystals, shape (n, d).

    :param latent: by one member of the validator, shape (n, ``POOLS``, channels).
    :param composition: from :func:`composition_inputs`.
    """
    log_volumes = np.log(np.abs(np.linalg.det(structures.cells)) / structures.num_atoms)
    return np.concatenate([flat(latent), log_volumes[:, None], composition], axis=1)


def flat(latent: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return features with one axis for each crystal, which may be none, shape (n, d)."""
    return latent.reshape(len(latent), math.prod(latent.shape[1:])).astype(np.float64)


def num_inputs(num_elements: int, channels: int | None) -> int:
    """Return the number of inputs; of compositions without ``channels`` of the validator."""
    of_composition = num_elements + 3 * NUM_FEATURES
    return of_composition if channels is None else of_composition + POOLS * channels + 1
