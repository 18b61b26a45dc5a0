"""Typed protocols of inverse design."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.common.properties import DEFAULT_ROUNDS
from aiida_qagenai.evaluation.designed import judge_problem, place_problem
from aiida_qagenai.selection.design import design_target, functions_of, generation_of_round
from aiida_qagenai.thermodynamics.vibrations.settings import Potential
from aiida_qagenai.workchains.protocols.atomistic import ElasticSettings, atomistic_settings, parse_potential
from aiida_qagenai.workchains.protocols.loader import merge_overrides
from aiida_qagenai.workchains.protocols.recomputation import RecomputationSettings

__all__ = ('DesignSettings', 'design_settings')


class DesignSettings(StrictModel):
    """Everything that decides rounds of inverse design."""

    target: str = pydantic.Field(description='Quantity that is wanted, such as bulk_modulus=350 (GPa)')
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
    max_e_above_hull: float = pydantic.Field(0.1, ge=0, description='Of a hit, eV/atom')
    elastic: ElasticSettings
    judge: Potential | None = pydantic.Field(None, description='Potential that no round uses, which strains all again')
    dft: RecomputationSettings = RecomputationSettings()

    @pydantic.model_validator(mode='after')
    def _check_target(self) -> DesignSettings:
        target, potential = design_target(self.target), self.elastic.potential
        problem = place_problem(target, potential.tag)
        if problem is None and self.judge is not None:
            problem = judge_problem(target, self.judge.model_dump(), potential.model_dump())
        if problem is not None:
            raise InvalidInputError(problem)
        return self

    @property
    def tensors(self) -> ElasticSettings:
        """Return how elastic tensors are computed, and the function that is asked for."""
        functions = (*self.elastic.elasticity.functions, *functions_of(design_target(self.target)))
        elasticity = self.elastic.elasticity.model_copy(update={'functions': functions})
        return self.elastic.model_copy(update={'elasticity': elasticity})

    @property
    def judgement(self) -> ElasticSettings | None:
        """Return how the judge computes them, None if there is none."""
        return None if self.judge is None else self.tensors.model_copy(update={'potential': self.judge})

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
    *,
    judge: str | None = None,
) -> DesignSettings:
    """Return the settings of a campaign whose tensors are computed as the ``protocol`` of elastic tensors says.

    :raises InvalidInputError: for an unknown protocol, potential, target or key, or a value out of range.
    """
    elastic = atomistic_settings(ElasticSettings, protocol, potential).model_dump(mode='json')
    values = {'target': target, 'systems': [list(system) for system in systems], 'elastic': elastic}
    if judge is not None:
        values['judge'] = parse_potential(judge)
    return DesignSettings.parse(merge_overrides(values, overrides or {}), 'invalid settings')
