"""Place of one crystal on the hull of Gibbs energies."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData, require_lengths

__all__ = ('GibbsHullData',)


class GibbsHullData(RecordData):
    """Distance to the hull, and decomposition, at every temperature."""

    class AttributesModel(RecordData.AttributesModel):
        """Energies in eV/atom, temperatures in K; None where the competing phases cannot express the composition."""

        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        level_tag: str = OrmMetadataField(min_length=1, description='Method and settings of all energies of the hull')
        temperatures: list[float] = OrmMetadataField(min_length=1, description='Temperatures of the hull, K')
        e_above_hull: list[float | None] = OrmMetadataField(description='Distance to the hull with the crystal, ≥ 0')
        decomposition_energy: list[float | None] = OrmMetadataField(description='Energy above the hull of the others')
        decomposition: list[dict[str, float]] = OrmMetadataField(description='Products by formula and atomic fraction')
        stability: list[str] = OrmMetadataField(description='Stability class (Table 2) at each temperature')
        complete: bool = OrmMetadataField(description='Whether every subsystem has a competing phase')
        missing: list[str] = OrmMetadataField(default_factory=list, description='Subsystems without a competing phase')
        e_above_hull_0k: float | None = OrmMetadataField(None, ge=0, description='Distance at the lowest temperature')
        e_above_hull_300k: float | None = OrmMetadataField(None, ge=0, description='Distance at 300 K')
        stable_at: list[float] = OrmMetadataField(
            default_factory=list, description='Temperatures at which it is stable, K'
        )

        @pydantic.model_validator(mode='after')
        def _same_lengths(self) -> t.Any:
            names = ('e_above_hull', 'decomposition_energy', 'decomposition', 'stability')
            require_lengths(self, names, len(self.temperatures))
            return self
