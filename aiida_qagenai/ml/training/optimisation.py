"""What all trainings share: schedule, averaged weights, batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import TrainConfig
from aiida_qagenai.ml.elements import species_indices

__all__ = ('Averaged', 'batches', 'known_only', 'load_dataset', 'rows_of', 'schedule')

CLIP = 1.0
FINAL_FRACTION = 0.01
MAX_WARM_UP = 1000


def load_dataset(config: TrainConfig) -> LabelledBatch:
    """Return the training set of ``config``.

    :raises InvalidInputError: if it holds nothing to train on.
    """
    dataset = LabelledBatch.load(config.dataset)
    if not (dataset.split == SPLITS.index('train')).any():
        message = f'`{config.dataset}` has no structure in the split `train`'
        raise InvalidInputError(message)
    return dataset


def rows_of(dataset: LabelledBatch, split: str) -> NDArray[np.int64]:
    """Return the rows of a named split."""
    return np.flatnonzero(dataset.split == SPLITS.index(split))


def known_only(labels: LabelledBatch, elements: tuple[int, ...]) -> LabelledBatch:
    """Return the rows whose elements are all known."""
    structures = labels.structures
    owner = np.repeat(np.arange(len(structures)), structures.num_atoms)
    unseen = owner[species_indices(structures.species, elements) < 0]
    return labels.select(np.setdiff1d(np.arange(len(labels)), unseen))


def schedule(step: int, total: int) -> float:
    """Return the factor on the learning rate: a linear warm-up over a tenth of the steps, then a cosine to 1 %."""
    warm_up = min(MAX_WARM_UP, max(1, total // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, total - warm_up)
    return FINAL_FRACTION + (1 - FINAL_FRACTION) * 0.5 * (1 + math.cos(math.pi * progress))


def batches(rows: NDArray[np.int64], size: int, generator: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches of ``rows`` without end, reshuffled after each pass, the rest of which starts the next."""
    pool = np.zeros(0, dtype=np.int64)
    while True:
        while len(pool) < min(size, len(rows)):
            pool = np.concatenate([pool, rows[torch.randperm(len(rows), generator=generator).numpy()]])
        yield pool[:size]
        pool = pool[size:]


class Averaged:
    """Exponential moving average of some parameters, with a warm-up so that the start is forgotten."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float = 0.99) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self._steps = 0
        self._shadow = [parameter.detach().clone() for parameter in self._parameters]

    def update(self) -> None:
        """Take up the present values."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._shadow, [p.detach() for p in self._parameters], 1 - decay)

    def apply(self) -> None:
        """Give the parameters their averaged values."""
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._shadow, strict=True):
                parameter.copy_(average)
