"""What the recipes of heads on the latent features of the shipped validator share: what networks see, and training."""

from __future__ import annotations

import typing as t
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.evaluation.held_out import place_of
from aiida_qagenai.exchange.dataset import SPLITS
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays, save_arrays
from aiida_qagenai.ml.latent import Seen, see
from aiida_qagenai.ml.properties.model import PropertyModel
from aiida_qagenai.ml.properties.network import HUBER, PropertyNetwork
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.ml.validator.calibration import calibrated_scale
from aiida_qagenai.ml.validator.ensemble import Ensemble

NUM_MEMBERS = 5
WIDTH, DROPOUT, INPUT_DROPOUT = 160, 0.2, 0.1
BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 64, 2e-3, 0.05


class Labelled(t.Protocol):
    """Crystals with the index into ``SPLITS`` and the reduced formula of each."""

    @property
    def structures(self) -> StructureBatch: ...
    @property
    def groups(self) -> NDArray[np.str_]: ...
    @property
    def split(self) -> NDArray[np.integer[t.Any]]: ...


def seen_of(structures: StructureBatch, validator: Ensemble, runtime: Runtime, cache: Path) -> Seen:
    """Return what the validator says of crystals.

    :param cache: NPZ file that spares evaluating it again.
    """
    if not cache.exists():
        order = np.argsort(structures.num_atoms, kind='stable')
        found, back = see(structures.select(order), validator, runtime), np.argsort(order)
        arrays = {'latent': found.latent[back], 'unknown': found.unknown[back]}
        save_arrays(cache, {**arrays, 'format_version': np.array(1)})
    arrays = load_arrays(cache)
    return Seen(arrays['latent'], arrays['unknown'])


def elements_of(crystals: Labelled) -> tuple[int, ...]:
    """Return the atomic numbers in the training split, in ascending order."""
    rows = np.flatnonzero(crystals.split == SPLITS.index('train'))
    return tuple(np.unique(crystals.structures.select(rows).species).tolist())


def ensemble(
    model: PropertyModel,
    inputs: list[NDArray[np.float64]],
    crystals: Labelled,
    labels: NDArray[np.float64],
    *,
    epochs: int,
    delta: float = HUBER,
) -> tuple[list[PropertyNetwork], NDArray[np.float64]]:
    """Return networks, each trained on the training split but for one fold, and the factors on their σ, (properties,).

    :param inputs: what each network sees, shape (n, d).
    :param labels: shape (n, properties), NaN where there is none.
    :param delta: error of a number below which the loss is quadratic.
    """
    trained = crystals.split == SPLITS.index('train')
    folds = np.array([place_of(f'fold{group}') % 10 for group in crystals.groups])
    targets = model.scale.inward(labels)
    numbers, networks = model.runtime.tensor(targets), []
    for member, each in enumerate(inputs):
        chosen = torch.as_tensor(np.flatnonzero(trained & (folds != member)))
        networks.append(train(member, model.runtime.tensor(each), numbers, chosen, epochs=epochs, delta=delta))
    rows = crystals.split == SPLITS.index('calibration')
    values, variances = model.raw([each[rows] for each in inputs], networks)
    residuals = model.scale.inward(values) - targets[rows]
    scales = [
        calibrated_scale(error[known], variance[known], prior=1.0)
        for error, variance, known in zip(residuals.T, variances.T, np.isfinite(residuals).T, strict=True)
    ]
    return networks, np.array(scales)


def train(
    member: int,
    inputs: torch.Tensor,
    numbers: torch.Tensor,
    chosen: torch.Tensor,
    *,
    epochs: int,
    delta: float = HUBER,
) -> PropertyNetwork:
    """Return one network in half precision but for its last layer, which remembers what it was trained on.

    :param inputs: of all crystals, shape (n, d).
    :param numbers: what is predicted, shape (n, properties), NaN where there is no label.
    :param chosen: rows that are trained on.
    """
    torch.manual_seed(member)
    network = PropertyNetwork(inputs.shape[1], width=WIDTH, properties=numbers.shape[1], dropout=DROPOUT)
    network.standardise_by(inputs[chosen])
    inputs = network.standardised(inputs)
    network.coefficients.data[-1] = numbers[chosen].nanmean(dim=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = max(1, len(chosen) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=epochs * batches, pct_start=0.1
    )
    for _ in range(epochs):
        for rows in chosen[torch.randperm(len(chosen))].split(BATCH_SIZE)[:batches]:
            optimiser.zero_grad()
            loss = network.loss(nn.functional.dropout(inputs[rows], INPUT_DROPOUT), numbers[rows], delta)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval()
    network.hidden.half().float()
    network.remember(inputs[chosen])
    return network
