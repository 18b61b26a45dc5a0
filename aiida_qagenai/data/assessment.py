"""Verdict on one candidate: constraints, phase stability, score and whether it was selected."""

from __future__ import annotations

import typing as t

from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.candidate import candidate_name
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
        duplicate_of: str | None = OrmMetadataField(None, description='Name of the representative of its cluster')
        known_as: str | None = OrmMetadataField(
            None, description='Identifier of the known crystal of the motif library that it equals'
        )
        e_above_hull: float | None = OrmMetadataField(None, ge=0, description='Distance to the predicted hull')
        decomposition_energy: float | None = OrmMetadataField(None, description='Energy above the hull of the others')
        decomposition: dict[str, float] = OrmMetadataField(
            default_factory=dict, description='Products by formula and fraction of atoms'
        )
        hull_fidelity: str | None = OrmMetadataField(None, description='Level of theory of the hull')
        stability: str | None = OrmMetadataField(None, description='Stability class (Table 2)')
        hull_complete: bool | None = OrmMetadataField(None, description='Whether the competing phases span the system')
        hull_references: int | None = OrmMetadataField(None, ge=0, description='Known compositions of the system')
        hull_gaps: list[str] = OrmMetadataField(
            default_factory=list, description='Stable compounds of the system of which no structure is in the hull'
        )
        eligible: bool = OrmMetadataField(description='Whether the candidate may be selected')
        stopped_by: str | None = OrmMetadataField(None, description='First filter that excluded the candidate')
        divergence: float | None = OrmMetadataField(None, ge=0, description='Divergence D = abs(E_PBE − E_top)')
        top_fidelity: Fidelity | None = OrmMetadataField(
            None, description='Top rung, which the divergence refers to; CCSD(T) in nodes without it'
        )
        diversity: float | None = OrmMetadataField(None, ge=0, le=1, description='Diversity term U, scaled to the pool')
        score: float | None = OrmMetadataField(None, description='Score S = w_D D + w_U U of scaled terms')
        rank: int | None = OrmMetadataField(None, ge=1, description='Place among the eligible candidates, 1 is best')
        selected: bool = OrmMetadataField(description='Whether the candidate was selected for calculations')
        audit: bool = OrmMetadataField(description='Whether it was drawn at random as a control')

    @staticmethod
    def _title(content: dict[str, t.Any]) -> str:
        distance = content['e_above_hull']
        place = 'no E_hull' if distance is None else f'E_hull {distance:.3f} eV/atom'
        chosen = ', selected' if content['selected'] else ''
        return f'{candidate_name(content["cycle"], content["index"])} {place}{chosen}'
