"""Loading the generator."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from aiida_qagenai.exchange.checkpoint import CheckpointInfo
from aiida_qagenai.ml.checkpoints import Tensors, load_checkpoint, load_weights
from aiida_qagenai.ml.elements import element_numbers
from aiida_qagenai.ml.generator.network import SIZES, Denoiser
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('TrainedGenerator', 'denoiser_from_checkpoint', 'load_generator')


@dataclasses.dataclass(frozen=True)
class TrainedGenerator:
    """A generator ready to sample.

    :param elements: atomic numbers it was trained on, ascending.
    :param num_atoms_counts: atoms per cell → how many training structures had them.
    """

    model: Denoiser
    elements: tuple[int, ...]
    num_atoms_counts: dict[int, int]
    sha256: str


def denoiser_from_checkpoint(tensors: Tensors, info: CheckpointInfo, dtype: torch.dtype) -> Denoiser:
    """Return the network that a checkpoint holds."""
    model = Denoiser(len(info.elements), **SIZES[info.configuration['size']])
    load_weights(model, tensors, info.architecture)
    return model.to(dtype)


def load_generator(folder: Path, runtime: Runtime) -> TrainedGenerator:
    """Return the generator in ``folder``.

    :raises CorruptFileError: if the checkpoint is damaged.
    :raises InvalidInputError: if it has another role.
    """
    tensors, info = load_checkpoint(folder, 'generator')
    model = denoiser_from_checkpoint(tensors, info, runtime.dtype).to(runtime.device).eval()
    counts = {int(size): int(count) for size, count in info.configuration['num_atoms_counts'].items()}
    return TrainedGenerator(model, element_numbers(info.elements), counts, info.sha256)
