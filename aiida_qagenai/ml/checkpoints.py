"""Checkpoints as tensors: saving a whole folder atomically, loading verified weights."""

from __future__ import annotations

import math
import shutil
import typing as t
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.checkpoint import WEIGHTS_NAME, CheckpointInfo, read_checkpoint, write_info
from aiida_qagenai.ml.runtime import NonFiniteError, package_versions

__all__ = ('Tensors', 'load_checkpoint', 'load_parent', 'load_weights', 'save_checkpoint')

Tensors = dict[str, torch.Tensor]


def save_checkpoint(
    folder: Path,
    tensors: Tensors,
    *,
    role: str,
    architecture: str,
    configuration: dict[str, t.Any],
    num_parameters: int,
    metrics: dict[str, float],
    **fields: t.Any,
) -> CheckpointInfo:
    """Write a checkpoint to ``folder``; it appears complete or not at all.

    :param configuration: JSON-like values that rebuild the network.
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
        architecture=architecture,
        configuration=configuration,
        num_parameters=num_parameters,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        versions=package_versions(),
        **fields,
    )
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


def load_parent(folder: Path | None, role: str, architecture: str) -> tuple[Tensors, CheckpointInfo] | None:
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
