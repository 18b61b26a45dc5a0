"""Loading the descriptor model and asking it for q."""

from __future__ import annotations

from pathlib import Path

import torch

from aiida_qagenai.exchange.checkpoint import CheckpointInfo
from aiida_qagenai.ml.checkpoints import Tensors, load_checkpoint, load_weights
from aiida_qagenai.ml.descriptors.network import SIZES, DescriptorModel
from aiida_qagenai.ml.elements import element_numbers
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('from_checkpoint', 'load_descriptor_model')


def from_checkpoint(tensors: Tensors, info: CheckpointInfo, dtype: torch.dtype) -> DescriptorModel:
    """Return the model that a checkpoint holds."""
    model = DescriptorModel(len(info.elements), **SIZES[info.configuration['size']])
    load_weights(model, tensors, info.architecture)
    return model.to(dtype)


def load_descriptor_model(folder: Path, runtime: Runtime) -> tuple[DescriptorModel, tuple[int, ...]]:
    """Return the model in ``folder``, ready to predict, and the atomic numbers of its elements."""
    tensors, info = load_checkpoint(folder, 'descriptor')
    model = from_checkpoint(tensors, info, runtime.dtype).to(runtime.device)
    return model.eval(), element_numbers(info.elements)
