"""Configuration files of the commands of the GPU side, validated before torch is imported.

Unknown keys are errors. All paths are relative to the working directory of the command.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel, validation_text
from aiida_qagenai.exchange.atomistic import (
    BarrierConfig,
    ElasticConfig,
    FreeEnergyConfig,
    LabelConfig,
    RelaxConfig,
    RelaxManyConfig,
)
from aiida_qagenai.exchange.constraints import ConstraintOptions
from aiida_qagenai.exchange.contests import ContestConfig
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.properties import PropertyConfig, PropertyTuning
from aiida_qagenai.exchange.recovery import RecoveryOptions
from aiida_qagenai.exchange.requests import Count, Request, check_mask, elements_of
from aiida_qagenai.exchange.runtime import Rate, RuntimeConfig, Size
from aiida_qagenai.thermodynamics.vibrations.settings import ChgnetPotential, EmtPotential, SevennetPotential

__all__ = (
    'DescriptorOptions',
    'DescriptorTraining',
    'GapConfig',
    'GenerateConfig',
    'GeneratorOptions',
    'GeneratorTraining',
    'NoiseSchedule',
    'PredictConfig',
    'RuntimeConfig',
    'TrainConfig',
    'ValidatorOptions',
    'ValidatorTraining',
    'parse',
)

TASKS = (
    'train',
    'generate',
    'predict',
    'label',
    'relax',
    'relax_many',
    'elastic',
    'free_energy',
    'barrier',
    'contest',
    'gaps',
    'properties',
    'tune_properties',
)
NoiseSchedule = t.Literal['linear', 'cosine']


class DescriptorOptions(StrictModel):
    """Weights of the terms of the loss (paper Eq 7), and of the two blocks that the equation leaves out."""

    weight_dos: float = pydantic.Field(1.0, ge=0)
    weight_band_gap: float = pydantic.Field(0.5, ge=0)
    weight_elf: float = pydantic.Field(0.3, ge=0)
    weight_reconstruction: float = pydantic.Field(0.2, ge=0)
    weight_laplacian: float = pydantic.Field(0.3, ge=0)
    weight_response: float = pydantic.Field(0.3, ge=0)


class GeneratorOptions(StrictModel):
    """How the conditioning is dropped in training (classifier-free guidance), and how often types are given.

    :param known_types: share of the samples whose types are given, as sampling of a fixed composition needs it.
    :param conditioning: how descriptors enter the network: ``concatenation`` with what is known of the whole cell, or
        ``cross-attention`` of the atoms to them; that of the initial checkpoint, or the first, if not given.
    """

    block_dropout: float = pydantic.Field(0.2, ge=0, le=1)
    field_dropout: float = pydantic.Field(0.1, ge=0, lt=1)
    known_types: float = pydantic.Field(0.5, ge=0, le=1)
    conditioning: t.Literal['concatenation', 'cross-attention'] | None = None


Base = t.Annotated[EmtPotential | ChgnetPotential | SevennetPotential, pydantic.Field(discriminator='name')]
"""Potentials that may stand below a validator."""


class ValidatorOptions(StrictModel):
    """Ensemble, loss and stages of the multi-fidelity validator.

    :param architecture: messages between atoms (``moments``), or strictly local pairs after Allegro (``pairs``).
    :param base: potential of others below the network, which then learns what the levels say beyond it: its settings,
        such as ``{name: sevennet, model: mf-0, modality: PBE}``, or ``chgnet`` or ``sevennet``; ``own`` for none.
    :param parents: tag of a new level of theory, or name of its rung → tag of the level whose surface it starts from.
        By default that is the next lower level of the training set; for the lowest, the level of the initial checkpoint
        on its rung that is nearest to the root.
    :param loss_weights: weight of the levels on each rung, lowest first, over their label variance (paper Eq 2). They
        act where one step trains several levels: without the gradient stop, in the replay of the levels below.
    :param force_weight: weight of the forces against the energies, both over their label variances: 1 lets a relative
        error of the forces count as much as one of the energies; 0 leaves the forces out.
    :param stress_weight: the same of the stresses; smaller, since they repeat what strained cells and forces tell and
        carry the largest numerical errors of a calculation (basis and grid change with the cell).
    :param gradient_stop: let labels of one level never move what another needs: above the root a stage trains only
        what is its own, so that noise on low levels reaches no higher one and no stage makes the levels below forget.
        Without it, what levels share moves at a tenth of the rate, with a third of the labels replayed from below.
    :param freeze_trunk_below: with fewer labels than this at a level above the lowest, its stage trains only the
        references, the Δ read-out and the bias.
    :param steps_above: share of the steps given to the stages above the lowest, together.
    :param replay: share of the labels of a step that are replayed, where the step moves what other levels use: those of
        lower levels, and in a fine-tuning those in the memory of the initial checkpoint. 0 replays nothing.
    :param max_degradation: growth of the error on any level of the probe set, as a share of it, that a fine-tuning is
        allowed (5 % is 0.05); beyond, weights are moved back. With none, the errors are recorded only.
    :param recovery: what is done about noisy, wrong, missing and mixed labels.
    :param top: rung above PBE whose difference from PBE, the divergence, has an error bar of its own.
    :param staged: train the levels one after the other, the lowest first; otherwise all at once, in turns.
    :param paired: take what the trunk gets wrong on a lower label of a structure off its higher label wherever the
        trunk stands still, also from ``freeze_trunk_below`` labels on: a level then learns only the difference to the
        one below, and noise of the lower labels reaches it.
    """

    architecture: t.Literal['moments', 'pairs'] = 'moments'
    base: Base | None = None
    num_members: int = pydantic.Field(5, ge=2, le=32)
    loss_weights: tuple[float, float, float, float] = (0.1, 0.3, 0.6, 1.0)
    force_weight: float = pydantic.Field(1.0, ge=0)
    stress_weight: float = pydantic.Field(0.1, ge=0)
    parents: dict[str, str] = pydantic.Field(default_factory=dict)
    gradient_stop: bool = True
    freeze_trunk_below: int = pydantic.Field(100, ge=0)
    steps_above: float = pydantic.Field(0.4, gt=0, lt=1)
    replay: float = pydantic.Field(1 / 3, ge=0, lt=1)
    max_degradation: float | None = pydantic.Field(0.05, ge=0)
    recovery: RecoveryOptions = RecoveryOptions()
    top: Fidelity = Fidelity.CCSD_T
    staged: bool = True
    paired: bool = False

    @pydantic.field_validator('base', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Let a name stand for the potential with its default settings, and ``own`` for none."""
        return {'own': None}.get(value, {'name': value}) if isinstance(value, str) else value


class TrainConfig(RuntimeConfig):
    """What every training takes.

    :param dataset: packed training set (:class:`~aiida_qagenai.exchange.dataset.LabelledBatch`).
    :param initial_checkpoint: folder of a checkpoint of the same role and architecture to continue from.
    :param output: folder of the checkpoint to write.
    :param steps: optimiser steps (for the validator: of each member, over all stages).
    :param batch_size: structures per step.
    """

    role: str
    size: Size = 'tiny'
    dataset: Path
    initial_checkpoint: Path | None = None
    output: Path = Path('checkpoint')
    steps: Count
    batch_size: Count
    learning_rate: Rate


class DescriptorTraining(TrainConfig):
    """Training of the descriptor model Φ_Q."""

    role: t.Literal['descriptor']
    steps: Count = 400
    batch_size: Count = 16
    learning_rate: Rate = 5e-3
    options: DescriptorOptions = DescriptorOptions()


class GeneratorTraining(TrainConfig):
    """Training of the diffusion generator.

    :param num_layers: layers of the network; those of its size, or of the initial checkpoint, if not given.
    """

    role: t.Literal['generator']
    steps: Count = 1000
    batch_size: Count = 64
    learning_rate: Rate = 4e-3
    num_layers: t.Annotated[int, pydantic.Field(ge=1, le=32)] | None = None
    options: GeneratorOptions = GeneratorOptions()


class ValidatorTraining(TrainConfig):
    """Training of the multi-fidelity validator."""

    role: t.Literal['validator']
    steps: int = pydantic.Field(500, ge=4)
    batch_size: Count = 8
    learning_rate: Rate = 5e-3
    options: ValidatorOptions = ValidatorOptions()


class GenerateConfig(RuntimeConfig):
    """Sampling of structures.

    :param generator: checkpoint; the one that comes with the package if not given.
    :param descriptor: checkpoint whose composition model gives q where no ``target`` is given; without both, the
        samples are unconditional.
    :param target: wanted descriptor values by field name; fields left out are not conditioned on.
    :param guidance_scale: λ in ε = ε_u + λ (ε_c − ε_u): 0 ignores q, 1 is plain conditioning.
    :param steps: denoising steps from pure noise; a start below that takes its share.
    :param noise_schedule: noise levels of the steps: equally spaced in time (``linear``), or ever closer towards the
        clean structure (``cosine``).
    :param stochasticity: share of fresh noise in each step: 0 follows the flow, 1 takes ancestral steps.
    :param min_distance_scale: structures are projected to d ≥ scale · (r_i + r_j).
    :param constraints: others that act while sampling; none if not given.
    :param geometry: geometric constraints that the structures are ordered with; none if not given.
    :param mask: atoms that are held while the others are sampled; none if not given.
    :param relations: whether samples of motifs are compared with the known crystals.
    :param labels: packed training set whose gaps and descriptors at PBE the models of the package learn from, where a
        request has one as its target.
    """

    generator: Path | None = None
    descriptor: Path | None = None
    requests: tuple[Request, ...] = pydantic.Field(min_length=1)
    target: dict[str, float] | None = None
    guidance_scale: float = pydantic.Field(1.0, ge=0, le=20)
    steps: int = pydantic.Field(100, ge=2, le=10_000)
    noise_schedule: NoiseSchedule = 'linear'
    stochasticity: float = pydantic.Field(1.0, ge=0, le=1)
    min_distance_scale: float = pydantic.Field(0.7, ge=0, le=1.5)
    constraints: ConstraintOptions | None = None
    geometry: GeometryOptions | None = None
    mask: SiteMask | None = None
    relations: bool = True
    labels: Path | None = None
    batch_size: Count = 128
    output: Path = Path('candidates.npz')

    @pydantic.model_validator(mode='after')
    def _check_geometry(self) -> GenerateConfig:
        for number, request in enumerate(self.requests if self.geometry is not None else ()):
            elements = elements_of(request)
            if self.geometry is not None and elements is not None:
                self.geometry.check_elements(elements, f'request {number}')
        return self

    @pydantic.model_validator(mode='after')
    def _check_mask(self) -> GenerateConfig:
        if self.mask is None:
            return self
        if self.constraints is not None and self.constraints.final_steps:
            raise ValueError('`mask` holds atoms that `constraints` would move: give these `final_steps` 0')
        for number, request in enumerate(self.requests):
            check_mask(self.mask, request, f'request {number}')
        return self

    @pydantic.field_validator('target')
    @classmethod
    def _check_target(cls, target: dict[str, float] | None) -> dict[str, float] | None:
        unknown = sorted(set(target or {}) - set(FIELDS))
        if unknown:
            raise ValueError(f'unknown descriptor fields {unknown}: choose from {list(FIELDS)}')
        return target


class PredictConfig(RuntimeConfig):
    """Prediction of energies with uncertainties on all levels of the ladder.

    :param validator: checkpoint; the one that comes with the package if not given.
    :param gaps: predict band gaps as well, by the model that comes with the package.
    :param properties: predict bulk and shear moduli as well, by the heads that come with the package.
    :param descriptors: predict quantum descriptors as well, by the heads that come with the package.
    :param labels: packed training set whose gaps and descriptors at PBE these models learn from.
    """

    validator: Path | None = None
    structures: Path
    output: Path = Path('predictions.npz')
    batch_size: Count = 64
    gaps: bool = False
    properties: bool = False
    descriptors: bool = False
    labels: Path | None = None


class GapConfig(RuntimeConfig):
    """Prediction of band gaps by the model that comes with the package, of crystals or of compositions.

    Of compositions quantum descriptors are predicted as well.

    :param structures: packed crystals.
    :param compositions: amounts of the elements in each.
    """

    structures: Path | None = None
    compositions: list[dict[str, t.Annotated[float, pydantic.Field(gt=0)]]] | None = None
    output: Path = Path('gaps.npz')

    @pydantic.model_validator(mode='after')
    def _check_input(self) -> GapConfig:
        if (self.structures is None) == (self.compositions is None):
            raise ValueError('expected either `structures` or `compositions`')
        return self


_Training = t.Annotated[
    DescriptorTraining | GeneratorTraining | ValidatorTraining, pydantic.Field(discriminator='role')
]
_ADAPTERS: dict[str, pydantic.TypeAdapter[t.Any]] = {
    'train': pydantic.TypeAdapter(_Training),
    'generate': pydantic.TypeAdapter(GenerateConfig),
    'predict': pydantic.TypeAdapter(PredictConfig),
    'label': pydantic.TypeAdapter(LabelConfig),
    'relax': pydantic.TypeAdapter(RelaxConfig),
    'relax_many': pydantic.TypeAdapter(RelaxManyConfig),
    'elastic': pydantic.TypeAdapter(ElasticConfig),
    'free_energy': pydantic.TypeAdapter(FreeEnergyConfig),
    'barrier': pydantic.TypeAdapter(BarrierConfig),
    'contest': pydantic.TypeAdapter(ContestConfig),
    'gaps': pydantic.TypeAdapter(GapConfig),
    'properties': pydantic.TypeAdapter(PropertyConfig),
    'tune_properties': pydantic.TypeAdapter(PropertyTuning),
}


def parse(task: str, content: str | bytes | dict[str, t.Any]) -> t.Any:
    """Return the validated configuration of ``task``.

    :param content: the JSON text, or the object it stands for.
    :raises InvalidInputError: listing every problem with the place where it is.
    """
    try:
        if isinstance(content, dict):
            return _ADAPTERS[task].validate_python(content)
        return _ADAPTERS[task].validate_json(content)
    except pydantic.ValidationError as exception:
        raise InvalidInputError(f'invalid configuration of `{task}`: {validation_text(exception)}') from exception
