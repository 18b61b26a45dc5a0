"""Verdict on one candidate: constraints, phase stability, score and whether it was selected."""

from __future__ import annotations

import typing as t

from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData

__all__ = ('AssessmentData',)


class AssessmentData(RecordData):
    """What the screening and the selection decided about a candidate, and on which numbers."""

    _hash_ignored_attributes = ('candidate_uuid',)

    class AttributesModel(RecordData.AttributesModel):
        """Energies in eV/atom."""

        candidate_uuid: str = OrmMetadataField(description='UUID of the candidate')
        cycle: int = OrmMetadataField(ge=0, description='Cycle of the candidate')
        index: int = OrmMetadataField(ge=0, description='Index of the candidate in its cycle')
        constraints: dict[str, t.Any] = OrmMetadataField(description='Value, threshold and verdict of each constraint')
        passed_constraints: bool = OrmMetadataField(description='Whether no constraint failed')
        duplicate: bool = OrmMetadataField(description='Whether an equal candidate or known structure came before')
        duplicate_of: str | None = OrmMetadataField(None, description='Its name: the representative of the cluster')
        e_above_hull: float | None = OrmMetadataField(None, ge=0, description='Distance to the predicted hull')
        decomposition_energy: float | None = OrmMetadataField(None, description='Against all other phases')
        decomposition: dict[str, float] = OrmMetadataField(
            default_factory=dict, description='Products by formula and fraction of atoms'
        )
        hull_fidelity: str | None = OrmMetadataField(None, description='Level of theory of the hull')
        stability: str | None = OrmMetadataField(None, description='Class of Table 2')
        hull_complete: bool | None = OrmMetadataField(None, description='Whether the competing phases span the system')
        eligible: bool = OrmMetadataField(description='Whether it may be selected')
        stopped_by: str | None = OrmMetadataField(None, description='What made it ineligible: first of the funnel')
        divergence: float | None = OrmMetadataField(None, ge=0, description='D, |E_PBE − E_CCSD(T)|')
        diversity: float | None = OrmMetadataField(None, ge=0, le=1, description='U, scaled to the pool')
        score: float | None = OrmMetadataField(None, description='S = w_D D + w_U U over scaled terms')
        rank: int | None = OrmMetadataField(None, ge=1, description='Place among the eligible, 1 is best')
        selected: bool = OrmMetadataField(description='Whether it goes to the calculations')
        audit: bool = OrmMetadataField(description='Whether it was drawn at random to judge the selection')
