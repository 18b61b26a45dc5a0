"""Inputs of the training of each model."""

from __future__ import annotations

import typing as t

from aiida.orm import AbstractCode, Dict

from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.thermodynamics.multireference import METHOD_FLAGS
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, TrainSettings

__all__ = ('dataset_parameters', 'training_inputs')

SPLIT_FRACTIONS = (0.8, 0.1, 0.1, 0.0)
"""Train, validation, calibration, test: a campaign is judged by its audit slice, not by a test split of its own."""


def dataset_parameters(settings: CampaignSettings) -> dict[str, t.Any]:
    """Return the parameters of the training set of a campaign."""
    doubtful = settings.learn.doubtful
    more = {} if doubtful == METHOD_FLAGS else {'doubtful': list(doubtful)}
    return {'fractions': list(SPLIT_FRACTIONS), 'seed': settings.seed, **more}


def training_inputs(
    role: str,
    settings: CampaignSettings,
    dataset: DatasetData,
    *,
    code: AbstractCode,
    seed: int,
    steps: int,
    initial_checkpoint: CheckpointData | None = None,
    options: dict[str, t.Any] | None = None,
) -> t.Any:
    """Return the builder that trains, or with ``initial_checkpoint`` fine-tunes, the model of ``role``."""
    training: TrainSettings = getattr(settings.learn, role)
    parameters, top = training.parameters(role, steps), settings.energy.top_rung
    if role == 'validator' and top is not Fidelity.CCSD_T:
        parameters['options'] = {**parameters['options'], 'top': top.value}
    builder = TrainCalculation.get_builder()
    builder.code = code
    builder.dataset = dataset
    run = settings.run
    builder.parameters = Dict(
        {
            **parameters,
            'seed': seed,
            'device': run.device,
            'dtype': run.dtype,
            'num_threads': run.num_threads,
        }
    )
    if initial_checkpoint is not None:
        builder.initial_checkpoint = initial_checkpoint
    set_options(builder, options)
    return builder
