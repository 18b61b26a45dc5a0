"""Checkpoints as tensors: saving a whole folder atomically, loading verified weights."""

from __future__ import annotations

import math
import shutil
import typing as t
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, NonFiniteError
from aiida_qagenai.exchange.checkpoint import MEMORY_NAME, WEIGHTS_NAME, CheckpointInfo, read_checkpoint, write_info
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.ml.runtime import package_versions

__all__ = (
    'Parent',
    'Tensors',
    'load_checkpoint',
    'load_memory',
    'load_parent',
    'load_weights',
    'rebuild',
    'save_checkpoint',
)

Tensors = dict[str, torch.Tensor]
Parent = tuple[Tensors, CheckpointInfo]
"""The checkpoint that a training continues from."""

M = t.TypeVar('M', bound=nn.Module)


def save_checkpoint(
    folder: Path,
    tensors: Tensors,
    *,
    role: str,
    metrics: dict[str, float],
    memory: LabelledBatch | None = None,
    **fields: t.Any,
) -> CheckpointInfo:
    """Write a checkpoint to ``folder``; it appears complete or not at all.

    :param metrics: only the finite ones are kept.
    :param memory: what later trainings replay and measure.
    :param fields: further fields of :class:`~aiida_qagenai.exchange.checkpoint.CheckpointInfo`.
    :raises NonFiniteError: if a weight is not finite: such a model is never written.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            message = f'weight `{name}` of the trained {role} is not finite: lower the learning rate or use float64'
            raise NonFiniteError(message)
    partial = folder.with_name(folder.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, partial / WEIGHTS_NAME)
    info = write_info(
        partial,
        role=role,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        versions=package_versions(),
        **fields,
    )
    if memory is not None:
        memory.save(partial / MEMORY_NAME)
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
    return info


def load_checkpoint(folder: Path, role: str) -> tuple[Tensors, CheckpointInfo]:
    """Return the verified tensors and the description of the checkpoint in ``folder``.

    :raises CorruptFileError: if a file is missing or damaged.
    :raises InvalidInputError: if it has another role.
    """
    weights, info = read_checkpoint(folder, role)
    return safetensors.torch.load(weights), info


def load_memory(folder: Path) -> LabelledBatch | None:
    """Return what the checkpoint in ``folder`` was trained on and is measured by, if it has that.

    :raises CorruptFileError: if the file is damaged.
    """
    path = folder / MEMORY_NAME
    return LabelledBatch.load(path) if path.exists() else None


def load_weights(module: nn.Module, tensors: Tensors, architecture: str) -> None:
    """Give ``module`` the weights ``tensors``.

    :raises CorruptFileError: if they do not fit: the checkpoint is of another release, or was put together wrongly.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as exception:
        message = (
            f'the weights do not fit the `{architecture}` of this release: train the checkpoint again ({exception})'
        )
        raise CorruptFileError(message) from exception


def rebuild(kind: type[M], tensors: Tensors, info: CheckpointInfo, dtype: torch.dtype) -> M:
    """Return the network of a checkpoint: ``kind(number of elements, **network)`` with its weights.

    :raises CorruptFileError: if the configuration does not say what the network is, or the weights do not fit it.
    """
    try:
        network = kind(len(info.elements), **info.configuration['network'])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exception:
        message = f'the configuration of the checkpoint does not describe a `{info.architecture}` ({exception!r})'
        raise CorruptFileError(message) from exception
    load_weights(network, tensors, info.architecture)
    return network.to(dtype)


def load_parent(folder: Path | None, role: str, architecture: str) -> Parent | None:
    """Return the checkpoint to continue from, if one is given.

    :raises InvalidInputError: if its role or architecture differs from the model to train.
    """
    if folder is None:
        return None
    tensors, info = load_checkpoint(folder, role)
    if info.architecture != architecture:
        message = f'initial checkpoint `{folder}` is a `{info.architecture}`, this training builds a `{architecture}`'
        raise InvalidInputError(message)
    return tensors, info
