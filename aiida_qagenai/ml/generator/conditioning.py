"""Where q comes from while sampling: a target, the composition, or nowhere."""

from __future__ import annotations

import typing as t

import torch

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.exchange.tasks import GenerateConfig
from aiida_qagenai.ml.descriptors.model import load_descriptor_model
from aiida_qagenai.ml.elements import element_symbols, known_indices
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Conditioning', 'conditioning')

Conditioning = t.Callable[[torch.Tensor], torch.Tensor]
"""Expected atomic fractions (B, K) → q in physical units (B, Q), NaN for what is not conditioned on."""


def conditioning(config: GenerateConfig, elements: tuple[int, ...], runtime: Runtime) -> Conditioning | None:
    """Return the conditioning that ``config`` asks for; None if the samples are unconditional.

    :param elements: atomic numbers of the generator.
    :raises InvalidInputError: if the descriptor model does not know an element of the generator.
    """
    if config.target is not None:
        wanted = torch.tensor(pack(config.target), dtype=runtime.dtype, device=runtime.device)
        return lambda fractions: wanted.expand(len(fractions), NUM_DESCRIPTORS)
    if config.descriptor is None:
        return None
    model, known = load_descriptor_model(config.descriptor, runtime)
    columns = known_indices(element_symbols(elements), known, 'descriptor model')

    def from_composition(fractions: torch.Tensor) -> torch.Tensor:
        translated = fractions.new_zeros(len(fractions), len(known))
        translated[:, columns] = fractions
        return model.predict_composition(translated)

    return from_composition
