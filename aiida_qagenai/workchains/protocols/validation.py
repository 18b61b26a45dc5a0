"""Settings of the validation of ordered crystals."""

from __future__ import annotations

import typing as t

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.exchange.geometry import GeometricConstraint, GeometryOptions
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, MINIMUM_REFERENCES
from aiida_qagenai.thermodynamics.references.mp_elements import FORMATION_LEVELS, LEVELS
from aiida_qagenai.workchains.protocols.campaign import CandidateRelaxation
from aiida_qagenai.workchains.protocols.recomputation import RecomputationSettings

__all__ = ('ValidationSettings', 'parse_settings')


class ValidationSettings(StrictModel):
    """How ordered crystals are validated."""

    constraints: tuple[GeometricConstraint, ...] = pydantic.Field((), description='What the crystals were ordered with')
    mask: SiteMask | None = pydantic.Field(
        None, description='Atoms that were held: the first of every crystal, which keep their order and cell'
    )
    relax: CandidateRelaxation = pydantic.Field(description='Potential, and when a crystal counts as relaxed')
    tolerance: float = pydantic.Field(
        0.1,
        gt=0,
        le=0.5,
        description='By which atoms may be off their symmetry, Å; none is moved with a mask',
    )
    limit: float = pydantic.Field(MARGINAL_LIMIT, gt=0, description='Distance to the hull that counts as near, eV/atom')
    min_references: int = pydantic.Field(
        MINIMUM_REFERENCES, ge=0, description='Fewest known phases of three or more elements for a distance to the hull'
    )
    dft: RecomputationSettings = RecomputationSettings()
    device: t.Literal['cpu', 'cuda'] = 'cpu'
    num_threads: int = pydantic.Field(1, ge=1, le=1024)

    @pydantic.field_validator('constraints')
    @classmethod
    def _compatible(cls, value: tuple[GeometricConstraint, ...]) -> tuple[GeometricConstraint, ...]:
        return GeometryOptions(constraints=value).constraints if value else value

    @pydantic.model_validator(mode='after')
    def _something_ordered(self) -> ValidationSettings:
        if not self.constraints and self.mask is None:
            raise ValueError('give one constraint or more, or a mask')
        return self

    @pydantic.field_validator('relax', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Take the name of a potential for relaxations with it."""
        return {'potential': value} if isinstance(value, str) else value

    def hull_problem(self, levels: t.Mapping[str, str] | None = None) -> str | None:
        """Return why the energies of the potential have no place on the hull of the package, or None.

        :param levels: rung → tag of the level of theory of the validator, if that is the potential.
        """
        potential = self.relax.potential
        if potential.name == 'validator':
            fits = (levels or {}).get(potential.fidelity.value) in FORMATION_LEVELS
        else:
            fits = str(potential.level) in LEVELS
        if fits:
            return None
        return f'the energies of {potential.name} have no place on the hull of the package: relax with chgnet'

    @property
    def order(self) -> dict[str, t.Any]:
        """Return the constraints, and the mask if there is one."""
        mask = {} if self.mask is None else {'mask': self.mask.dump()}
        return {'constraints': [each.text for each in self.constraints], **mask}

    def relaxation(self) -> dict[str, t.Any]:
        """Return the parameters of the job that relaxes and applies the constraints."""
        runtime = {'device': self.device, 'num_threads': self.num_threads}
        return {**self.relax.dump(), **runtime, **self.order}

    def judgement(self) -> dict[str, t.Any]:
        """Return the parameters of the verdicts."""
        return {
            **self.order,
            'potential': self.relax.potential.name,
            'limit': self.limit,
            'min_references': self.min_references,
        }


def parse_settings(values: t.Mapping[str, t.Any]) -> ValidationSettings:
    """Return settings whose potential has a place on the hull.

    :raises InvalidInputError: otherwise, and for unknown keys and values out of range.
    """
    settings = ValidationSettings.parse(values)
    if settings.relax.potential.name != 'validator' and (problem := settings.hull_problem()):
        raise InvalidInputError(problem)
    return settings
