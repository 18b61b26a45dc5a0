"""One model's view of one candidate."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.candidate import candidate_name
from aiida_qagenai.data.record import RecordData

__all__ = ('PredictionData',)


class PredictionData(RecordData):
    """Predicted formation energies on every level, their uncertainty, and the divergence (paper Eqs 3–5)."""

    _hash_ignored_attributes = ('candidate_uuid',)

    class AttributesModel(RecordData.AttributesModel):
        """Energies are formation energies in eV/atom, in the scheme of the training set.

        What the model could not predict (a number that is not finite) is ``None``: the candidate is not dropped.
        """

        candidate_uuid: str = OrmMetadataField(description='UUID of the candidate')
        cycle: int = OrmMetadataField(ge=0, description='Cycle of the candidate')
        index: int = OrmMetadataField(ge=0, description='Index of the candidate in its cycle')
        energy_pbe: float | None = OrmMetadataField(None, description='Formation energy at PBE')
        energy_scan: float | None = OrmMetadataField(None, description='Formation energy at SCAN')
        energy_hse06: float | None = OrmMetadataField(None, description='Formation energy at HSE06')
        energy_ccsdt: float | None = OrmMetadataField(None, description='Formation energy at CCSD(T)')
        sigma_pbe: float | None = OrmMetadataField(None, ge=0, description='Calibrated standard deviation at PBE')
        sigma_scan: float | None = OrmMetadataField(None, ge=0, description='Calibrated standard deviation at SCAN')
        sigma_hse06: float | None = OrmMetadataField(None, ge=0, description='Calibrated standard deviation at HSE06')
        sigma_ccsdt: float | None = OrmMetadataField(None, ge=0, description='Calibrated standard deviation at CCSD(T)')
        divergence: float | None = OrmMetadataField(None, description='abs(E_PBE − E_top), Eq 3')
        divergence_signed: float | None = OrmMetadataField(None, description='E_PBE − E_top, Eq 5')
        divergence_sigma: float | None = OrmMetadataField(
            None, ge=0, description='Calibrated standard deviation of divergence_signed'
        )
        divergence_relative: float | None = OrmMetadataField(None, description='divergence / divergence_sigma, Eq 4')
        top_fidelity: Fidelity | None = OrmMetadataField(
            None, description='Top rung, which the divergence refers to; CCSD(T) in nodes without it'
        )
        out_of_distribution: bool = OrmMetadataField(description='Whether it is unlike the training set')
        magnetic: bool | None = OrmMetadataField(None, description='Whether it probably has moments in a 3d shell')
        f_electrons: bool | None = OrmMetadataField(None, description='Whether it has electrons in an f shell')
        band_gap: float | None = OrmMetadataField(
            None, ge=0, description='Gap at PBE by the model of the package, eV; 0 for a metal'
        )
        band_gap_sigma: float | None = OrmMetadataField(
            None, ge=0, description='Calibrated standard deviation of band_gap, eV'
        )
        descriptors: dict[str, float] | None = OrmMetadataField(
            None, description='Quantum descriptors at PBE by the heads of the package'
        )
        descriptor_sigma: dict[str, float] | None = OrmMetadataField(
            None, description='Calibrated standard deviations of descriptors'
        )
        distance_to_training: float | None = OrmMetadataField(None, ge=0, description='Distance in latent space')

        @pydantic.model_validator(mode='after')
        def _derive(self) -> t.Any:
            """Fill in the absolute and the relative divergence; Eq 4 is undefined where σ is zero."""
            if self.divergence_signed is None:
                return self
            divergence, sigma = abs(self.divergence_signed), self.divergence_sigma
            object.__setattr__(self, 'divergence', divergence)
            object.__setattr__(self, 'divergence_relative', divergence / sigma if sigma else None)
            return self

    @staticmethod
    def _title(content: dict[str, t.Any]) -> str:
        divergence = content['divergence']
        known = 'no prediction' if divergence is None else f'D {divergence:.3f} eV/atom'
        return f'{candidate_name(content["cycle"], content["index"])} {known}'
