"""What all trainings share: labels, batches, schedule, averaged weights, and the checkpoint at the end."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import CheckpointInfo, sha256
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import TrainConfig
from aiida_qagenai.ml.checkpoints import Tensors, save_checkpoint
from aiida_qagenai.ml.elements import species_indices
from aiida_qagenai.ml.progress import Record

__all__ = (
    'CLIP',
    'Averaged',
    'Descent',
    'batches',
    'known_only',
    'load_dataset',
    'rows_of',
    'save_trained',
    'schedule',
    'training_labels',
)

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


def training_labels(
    config: TrainConfig, dataset: LabelledBatch, values: NDArray[np.float64], name: str
) -> LabelledBatch:
    """Return the structures of the training split that have any of ``values``, shape (n, m).

    :param name: of the values, for the error.
    :raises InvalidInputError: if there are none.
    """
    rows = rows_of(dataset, 'train')
    rows = rows[np.isfinite(values[rows]).any(axis=1)]
    if not len(rows):
        message = f'`{config.dataset}` has no {name} in the split `train`'
        raise InvalidInputError(message)
    return dataset.select(rows)


def known_only(labels: LabelledBatch, elements: tuple[int, ...]) -> LabelledBatch:
    """Return the rows whose elements are all known."""
    structures = labels.structures
    owner = np.repeat(np.arange(len(structures)), structures.num_atoms)
    unseen = owner[species_indices(structures.species, elements) < 0]
    return labels.select(np.setdiff1d(np.arange(len(labels)), unseen))


def save_trained(
    config: TrainConfig,
    tensors: Tensors,
    record: Record,
    *,
    parent: tuple[Tensors, CheckpointInfo] | None,
    configuration: dict[str, Any],
    num_train: int,
    **fields: Any,
) -> None:
    """Write the checkpoint of a finished training, and put its figures into the record.

    :param parent: the checkpoint that the training started from.
    :param configuration: what rebuilds the network; the settings of the training are added.
    :param num_train: number of labelled structures.
    :param fields: further fields of :class:`~aiida_qagenai.exchange.checkpoint.CheckpointInfo`.
    """
    training = config.model_dump(mode='json', exclude={'dataset', 'initial_checkpoint', 'output'})
    info = save_checkpoint(
        config.output,
        tensors,
        role=config.role,
        configuration={**configuration, 'training': training},
        metrics=record.metrics,
        dataset_sha256=sha256(config.dataset.read_bytes()),
        parent_sha256=parent[1].sha256 if parent else None,
        seed=config.seed,
        **fields,
    )
    record.counts.update(checkpoint_sha256=info.sha256, num_parameters=info.num_parameters, num_train=num_train)


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


class Descent:
    """AdamW with the schedule of the learning rate, clipped gradients and averaged parameters."""

    def __init__(self, model: nn.Module, config: TrainConfig, *, decay: float = 0.99, **options: Any) -> None:
        self._parameters = list(model.parameters())
        self._optimiser = torch.optim.AdamW(self._parameters, lr=config.learning_rate, weight_decay=1e-4, **options)
        steps = functools.partial(schedule, total=config.steps)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimiser, steps)
        self._averaged = Averaged(self._parameters, decay)

    def step(self, loss: torch.Tensor) -> None:
        """Move the parameters down the gradient of ``loss``."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimiser.step()
        self._scheduler.step()
        self._averaged.update()

    def finish(self) -> None:
        """Give the parameters their averaged values."""
        self._averaged.apply()
