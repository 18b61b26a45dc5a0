"""What all trainings share: labels, batches, schedule, averaged weights, and the checkpoint at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.tasks import TrainConfig
from aiida_qagenai.ml.checkpoints import M, Parent, Tensors, load_parent, rebuild, save_checkpoint
from aiida_qagenai.ml.elements import element_numbers, element_symbols, require_known, species_indices
from aiida_qagenai.ml.progress import Record

__all__ = ('CLIP', 'Averaged', 'Descent', 'Start', 'batches', 'known_only', 'schedule')

CLIP = 1.0
FINAL_FRACTION = 0.01
MAX_WARM_UP = 1000
ARCHITECTURES = {'descriptor': 'phi-q', 'generator': 'crystal-diffusion', 'validator': 'mf-ennp'}
"""Role of a model → the name of its architecture, which a size completes."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training starts from.

    :param dataset: the whole training set.
    :param labels: its training split, without the structures that lack the labels needed.
    :param parent: the checkpoint to continue from, if one is given.
    :param elements: atomic numbers of the model, in ascending order.
    """

    config: TrainConfig
    dataset: LabelledBatch
    labels: LabelledBatch
    parent: Parent | None
    elements: tuple[int, ...]

    @classmethod
    def read(cls, config: TrainConfig, needed: t.Literal['energies', 'descriptors'] | None = None) -> Start:
        """Return the training set and the initial checkpoint of ``config``.

        :param needed: labels of which every structure of the training split that is kept has some.
        :raises InvalidInputError: if there is nothing to train on, or it holds elements that the checkpoint lacks.
        """
        dataset = LabelledBatch.load(config.dataset)
        rows = np.flatnonzero(dataset.split == SPLITS.index('train'))
        if not len(rows):
            raise InvalidInputError(f'`{config.dataset}` has no structure in the split `train`')
        parent = load_parent(config.initial_checkpoint, config.role, f'{ARCHITECTURES[config.role]}-{config.size}')
        if needed:
            rows = rows[np.isfinite(getattr(dataset, needed)[rows]).any(axis=1)]
        if not len(rows):
            raise InvalidInputError(f'`{config.dataset}` has no {needed} in the split `train`')
        labels = dataset.select(rows)
        if parent is None:
            elements = tuple(int(number) for number in np.unique(labels.structures.species))
        else:
            elements = element_numbers(parent[1].elements)
            require_known(labels.structures, elements, 'initial checkpoint')
        return cls(config, dataset, labels, parent, elements)

    def network(self, kind: type[M], options: dict[str, t.Any], dtype: torch.dtype) -> M:
        """Return the network of the initial checkpoint, or a new one with random weights.

        :param options: of a new network.
        """
        if self.parent is not None:
            return rebuild(kind, *self.parent, dtype)
        return kind(len(self.elements), **options).to(dtype)

    def split(self, name: str) -> LabelledBatch:
        """Return the structures of a named split."""
        return self.dataset.select(np.flatnonzero(self.dataset.split == SPLITS.index(name)))

    def save(
        self,
        record: Record,
        tensors: Tensors,
        networks: Sequence[nn.Module],
        configuration: dict[str, t.Any],
        **fields: t.Any,
    ) -> None:
        """Write the checkpoint of the finished training, and put its figures into the record.

        :param configuration: what rebuilds the networks besides the size; the settings of the training are added.
        :param fields: further fields of :class:`~aiida_qagenai.exchange.checkpoint.CheckpointInfo`.
        """
        config = self.config
        training = config.model_dump(mode='json', exclude={'dataset', 'initial_checkpoint', 'output'})
        info = save_checkpoint(
            config.output,
            tensors,
            role=config.role,
            architecture=f'{ARCHITECTURES[config.role]}-{config.size}',
            configuration={'size': config.size, **configuration, 'training': training},
            num_parameters=sum(parameter.numel() for network in networks for parameter in network.parameters()),
            elements=element_symbols(self.elements),
            metrics=record.metrics,
            dataset_sha256=sha256(config.dataset.read_bytes()),
            parent_sha256=self.parent[1].sha256 if self.parent else None,
            seed=config.seed,
            **fields,
        )
        counts = {'num_parameters': info.num_parameters, 'num_train': len(self.labels)}
        record.counts.update(checkpoint_sha256=info.sha256, **counts)


def known_only(labels: LabelledBatch, elements: tuple[int, ...]) -> LabelledBatch:
    """Return the rows whose elements are all known."""
    unseen = labels.structures.owner[species_indices(labels.structures.species, elements) < 0]
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

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the parameters their averaged values for the block."""
        values = [parameter.detach().clone() for parameter in self._parameters]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, values, strict=True):
                    parameter.copy_(value)

    def state(self) -> dict[str, t.Any]:
        """Return the averages and how many steps they cover."""
        return {'steps': self._steps, 'shadow': self._shadow}

    def restore(self, state: dict[str, t.Any]) -> None:
        """Take up a stored :meth:`state`."""
        self._steps = state['steps']
        for average, stored in zip(self._shadow, state['shadow'], strict=True):
            average.copy_(stored)


class Descent:
    """AdamW with the schedule of the learning rate, clipped gradients and averaged parameters."""

    def __init__(self, model: nn.Module, config: TrainConfig, *, decay: float = 0.99, **options: t.Any) -> None:
        self._parameters = list(model.parameters())
        self._optimiser = torch.optim.AdamW(self._parameters, lr=config.learning_rate, weight_decay=1e-4, **options)
        steps = functools.partial(schedule, total=config.steps)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimiser, steps)
        self._averaged = Averaged(self._parameters, decay)
        self.finish = self._averaged.apply

    def step(self, loss: torch.Tensor) -> None:
        """Move the parameters down the gradient of ``loss``."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimiser.step()
        self._scheduler.step()
        self._averaged.update()
