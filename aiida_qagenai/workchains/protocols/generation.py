"""Typed settings of what the generator proposes in a cycle."""

from __future__ import annotations

import typing as t
from collections import Counter

import pydantic

from aiida_qagenai.calculations.models.external import ExternalGenerateParameters
from aiida_qagenai.common.descriptors import FIELDS
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.tasks import NoiseSchedule
from aiida_qagenai.selection.targets import parse_target

__all__ = ('GenerateSettings',)

Novelty = t.Annotated[float, pydantic.Field(ge=0, le=1)]


class GenerateSettings(StrictModel):
    """What the generator proposes in each cycle."""

    num_candidates: int = pydantic.Field(ge=1, description='n of Algorithm 1')
    max_atoms: int = pydantic.Field(ge=1, le=20, description='Atoms per cell')
    motif_fraction: float = pydantic.Field(
        0.0,
        ge=0,
        le=1,
        description='Share that starts from known crystals with exchanged elements, in the system and its subsystems '
        'of two or more elements',
    )
    novelty: Novelty | tuple[Novelty, ...] = pydantic.Field(
        0.3,
        description='Noise added to these, from 0 (the crystal as it is) to 1 (only its cell content and, if kept, its '
        'symmetry are left); of a list, every level gets the same share',
    )
    symmetry: t.Literal['keep', 'free'] = pydantic.Field(
        'keep', description='Whether these keep the space group of the known crystal'
    )
    exclude_system: bool = pydantic.Field(
        False,
        description='Start from no known compound of the system, so that those that come out are rediscovered',
    )
    neutral_fraction: float = pydantic.Field(
        ge=0,
        le=1,
        description='Share of the others with a charge-neutral composition fixed first; the rest is free in the system',
    )
    steps: int = pydantic.Field(ge=1, description='Denoising steps')
    noise_schedule: NoiseSchedule = pydantic.Field(
        'linear', description='Noise levels of the steps: linear in time, or cosine, with shorter steps at the end'
    )
    guidance_scale: float = pydantic.Field(ge=0, description='λ: 0 unconditioned, 1 conditioned')
    target: dict[str, float] | None = pydantic.Field(
        None,
        description='Target quantum descriptors; by default those that the composition model predicts. They '
        'choose the known crystals that candidates start from as well, which `band_gap` (eV), `elf_high` and moduli do '
        'with any generator',
    )
    geometry: GeometryOptions | None = pydantic.Field(
        None,
        description='Geometric constraints, such as `coordination(Si,O)=6`, that candidates are ordered with; '
        'subsystems without their elements are left out',
    )
    mask: SiteMask | None = pydantic.Field(
        None,
        description='Atoms that all candidates have in one place, such as `kagome(Co)`; they are sampled from noise, '
        'with `motif_fraction` 0',
    )
    external: ExternalGenerateParameters | None = pydantic.Field(
        None,
        description='A program of others that proposes candidates in place of the generator, within the elements of '
        'the campaign and `max_atoms`; its arguments say how many',
    )

    @property
    def ordered_elements(self) -> frozenset[str]:
        """Return the elements without which the geometric constraints mean nothing."""
        constraints = () if self.geometry is None else self.geometry.constraints
        return frozenset(symbol for each in constraints for symbol in each.elements)

    @property
    def held(self) -> Counter[str]:
        """Return how many atoms of each element every candidate has."""
        return Counter() if self.mask is None else self.mask.amounts

    @property
    def descriptors(self) -> dict[str, float] | None:
        """Return the target descriptors that a generator can be conditioned on."""
        return {name: value for name, value in (self.target or {}).items() if name in FIELDS} or None

    @property
    def wish(self) -> str | None:
        """Return what the crystals that candidates start from are chosen by."""
        return ', '.join(f'{name}={value:g}' for name, value in (self.target or {}).items()) or None

    @property
    def novelties(self) -> tuple[float, ...]:
        """Return the levels of noise."""
        return self.novelty if isinstance(self.novelty, tuple) else (self.novelty,)

    @pydantic.field_validator('novelty')
    @classmethod
    def _distinct(cls, value: float | tuple[float, ...]) -> float | tuple[float, ...]:
        """Check that a list of levels is one."""
        if isinstance(value, tuple) and not len(set(value)) == len(value) > 0:
            raise ValueError(f'a list of novelties needs one or more different levels, got {list(value)}')
        return value

    @pydantic.field_validator('target')
    @classmethod
    def _can_be_asked_for(cls, target: dict[str, float] | None) -> dict[str, float] | None:
        """Check that what is asked for exists, and can have the values."""
        for name, value in (target or {}).items():
            parse_target(f'{name}={value:g}')
        return target

    @pydantic.model_validator(mode='after')
    def _room_for_mask(self) -> GenerateSettings:
        """Check that candidates can have the held atoms."""
        if self.mask is not None and self.motif_fraction:
            raise ValueError(
                f'with `mask` candidates are sampled from noise, but `motif_fraction` is {self.motif_fraction:g}: set 0'
            )
        if self.mask is not None and len(self.mask) > self.max_atoms:
            raise ValueError(f'`mask` holds {len(self.mask)} atoms, but `max_atoms` is {self.max_atoms}')
        return self

    @pydantic.field_validator('external')
    @classmethod
    def _unlimited(cls, value: ExternalGenerateParameters | None) -> ExternalGenerateParameters | None:
        """Check that the limits are left to the campaign."""
        if value is not None and (value.elements, value.max_atoms) != (None, None):
            raise ValueError('the campaign limits the elements and, by `generate.max_atoms`, the atoms: leave both out')
        return value
