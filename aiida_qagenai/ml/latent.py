"""What small networks see of a crystal: latent features of the shipped validator, the volume and the composition."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, CheckpointInfo
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.elements import NUM_FEATURES, element_statistics, species_indices
from aiida_qagenai.ml.graph import CrystalGraph, collate
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.ensemble import Ensemble, model_graphs

__all__ = (
    'BATCH',
    'Seen',
    'Standardised',
    'below',
    'composition_inputs',
    'familiarity',
    'flat',
    'hidden_layers',
    'latent_features',
    'num_inputs',
    'see',
    'structure_inputs',
    'without_labels',
)

BATCH = 64
POOLS = 4
"""Ways in which the features of atoms become those of a crystal: mean, standard deviation, largest and smallest."""

CLIP = 6.0
"""Standardised inputs beyond this are read as this: a network knows nothing out there."""


class Standardised(nn.Module):
    """A network that takes inputs with the mean and the deviation of its training set."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(inputs))
        self.register_buffer('deviation', torch.ones(inputs))

    def standardise_by(self, inputs: Tensor) -> None:
        """Take mean and deviation from the inputs of a training set, shape (n, d)."""
        self.mean.copy_(inputs.mean(dim=0))
        deviation = inputs.std(dim=0)
        # What no training crystal has is not seen: its standardised value is 0 for these, and tiny for others.
        self.deviation.copy_(torch.where(deviation > 1e-4, deviation, torch.full_like(deviation, 1e3)))

    def standardised(self, inputs: Tensor) -> Tensor:
        """Return inputs as ``forward`` takes them."""
        return ((inputs - self.mean) / self.deviation).clamp(-CLIP, CLIP)


def hidden_layers(inputs: int, width: int, dropout: float) -> nn.Sequential:
    """Return the two hidden layers of a network."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(dropout),
        nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout),
    )  # fmt: skip


class Seen(t.NamedTuple):
    """What a validator says of crystals.

    :param latent: shape (n, members, ``POOLS``, channels).
    :param unknown: which have an element that it does not know, shape (n,).
    """

    latent: NDArray[np.float32]
    unknown: NDArray[np.bool_]


def see(structures: StructureBatch, validator: Ensemble, runtime: Runtime) -> Seen:
    """Return what a validator says of crystals."""
    graphs, unknown = model_graphs(structures, validator.elements, validator.cutoff, runtime.dtype)
    return Seen(latent_features(validator, graphs, runtime.device), unknown)


def below(info: CheckpointInfo, where: str, runtime: Runtime, loaded: Ensemble | None = None) -> Ensemble:
    """Return the shipped validator, on which the networks of a checkpoint stand.

    :param where: the checkpoint, for the message.
    :param loaded: the shipped validator, if it is loaded already.
    :raises InvalidInputError: if it was trained on another validator.
    """
    tensors, validator = load_checkpoint(VALIDATOR_FOUNDATION, 'validator')
    if info.configuration.get('validator_sha256') != validator.sha256:
        raise InvalidInputError(f'`{where}` was trained on another validator than that of the package: train it again')
    if loaded is not None:
        return loaded
    ensemble = Ensemble.from_checkpoint(tensors, validator, runtime.dtype)
    for member in ensemble.members:
        member.to(runtime.device)
    return ensemble


def without_labels(structures: StructureBatch, elements: Sequence[int]) -> NDArray[np.bool_]:
    """Return which structures have an element that is not among those with labels, shape (n,)."""
    missing = species_indices(structures.species, elements) < 0
    return np.bincount(structures.owner[missing], minlength=len(structures)) > 0


def familiarity(
    validator: Ensemble, seen: Seen, unseen: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which crystals are unlike all that the validator was trained on, and the factors on σ, shape (n,) each.

    :param unseen: which have an element without labels.
    """
    assert validator.latent is not None
    distances = validator.latent.distances(flat(seen.latent[:, :, 0]))
    unseen = unseen | seen.unknown
    return unseen | (distances > validator.latent.threshold), validator.latent.inflation(distances, unseen)


def latent_features(ensemble: Ensemble, graphs: Sequence[CrystalGraph], device: torch.device) -> NDArray[np.float32]:
    """Return what the members of a validator say of crystals, shape (n, members, ``POOLS``, channels)."""
    shape = (0, len(ensemble.members), POOLS, ensemble.members[0].channels)
    found = [np.zeros(shape, dtype=np.float32)]
    with torch.inference_mode():
        for start in range(0, len(graphs), BATCH):
            batch = collate(graphs[start : start + BATCH]).to(device)
            neighbours = ensemble.members[0].neighbours(batch)
            found_by = [member.node_features(batch, neighbours=neighbours) for member in ensemble.members]
            pooled = _pooled(torch.stack(found_by, dim=1).flatten(1), batch).unflatten(2, shape[1::2])
            found.append(pooled.transpose(1, 2).float().cpu().numpy())
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
