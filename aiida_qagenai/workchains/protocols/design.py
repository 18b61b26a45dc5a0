"""Typed protocols of inverse design."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.common.properties import DEFAULT_ROUNDS
from aiida_qagenai.selection.design import generation_of_round
from aiida_qagenai.selection.targets import PropertyTarget
from aiida_qagenai.workchains.protocols.atomistic import ElasticSettings, atomistic_settings
from aiida_qagenai.workchains.protocols.loader import merge_overrides
from aiida_qagenai.workchains.protocols.recomputation import RecomputationSettings

__all__ = ('DesignSettings', 'design_settings')


class DesignSettings(StrictModel):
    """Everything that decides rounds of inverse design."""

    target: str = pydantic.Field(description='Modulus, such as bulk_modulus=350 (GPa)')
    systems: tuple[tuple[str, ...], ...] = pydantic.Field(min_length=1, description='Elements of chemical systems')
    rounds: int = pydantic.Field(DEFAULT_ROUNDS.number, ge=1, le=20)
    per_system: int = pydantic.Field(
        DEFAULT_ROUNDS.per_system, ge=1, description='Samples of each chemical system in a round'
    )
    per_round: int = pydantic.Field(
        DEFAULT_ROUNDS.per_round, ge=1, description='Crystals whose tensors are computed in a round'
    )
    max_atoms: int = pydantic.Field(DEFAULT_ROUNDS.max_atoms, ge=1, le=40, description='Most atoms in the cell')
    novelty: float = pydantic.Field(DEFAULT_ROUNDS.novelty, ge=0, le=1, description='Noise added to known crystals')
    weight: float = pydantic.Field(
        DEFAULT_ROUNDS.weight, gt=0, description='Of a computed crystal beside a published one'
    )
    seed: int = pydantic.Field(0, ge=0)
    elastic: ElasticSettings
    dft: RecomputationSettings = RecomputationSettings()

    @pydantic.field_validator('target')
    @classmethod
    def _check_target(cls, target: str) -> str:
        PropertyTarget.parse(target)
        return target

    @property
    def runtime(self) -> dict[str, t.Any]:
        """Return what every job of the models takes."""
        run = self.elastic.run
        return {'device': run.device, 'num_threads': run.num_threads}

    def generation(self, number: int) -> dict[str, t.Any]:
        """Return the parameters of the generation of a round."""
        return {**generation_of_round(self, number), **self.runtime}


def design_settings(
    target: str,
    systems: t.Sequence[t.Sequence[str]],
    protocol: str,
    potential: str | dict[str, t.Any],
    overrides: dict[str, t.Any] | None = None,
) -> DesignSettings:
    """Return the settings of a campaign whose tensors are computed as the ``protocol`` of elastic tensors says.

    :raises InvalidInputError: for an unknown protocol, potential, target or key, or a value out of range.
    """
    elastic = atomistic_settings(ElasticSettings, protocol, potential).model_dump(mode='json')
    values = {'target': target, 'systems': [list(system) for system in systems], 'elastic': elastic}
    return DesignSettings.parse(merge_overrides(values, overrides or {}), 'invalid settings')
