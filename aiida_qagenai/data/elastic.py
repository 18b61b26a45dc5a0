"""The elastic tensor of one crystal on one potential."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData

__all__ = ('ElasticData',)


class ElasticData(RecordData):
    """Elastic tensor, moduli and mechanical stability of a relaxed crystal, or why there are none.

    Moduli are those of Voigt, Reuss and Hill (VRH). Those that need the compliance are None where the tensor is not
    positive definite, that is where the crystal is not mechanically stable.
    """

    _hash_ignored_attributes = ('structure_uuid',)

    class AttributesModel(RecordData.AttributesModel):
        """Moduli and tensors in GPa, energies in eV/atom, volumes in Å3/atom."""

        structure_uuid: str = OrmMetadataField(description='UUID of the crystal before it was relaxed')
        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        num_atoms: int = OrmMetadataField(ge=1, description='Atoms in the cell')
        potential: str = OrmMetadataField(min_length=1, description='Potential, its model and version')
        has_tensor: bool = OrmMetadataField(description='Whether there is a tensor')
        reason: str = OrmMetadataField('', description='Why there is no tensor, empty if there is one')
        energy_per_atom: float | None = OrmMetadataField(None, description='Energy of the relaxed crystal')
        volume_per_atom: float | None = OrmMetadataField(None, description='Volume of the relaxed crystal')
        max_force: float | None = OrmMetadataField(None, description='Largest force after the relaxation, eV/Å')
        max_stress: float | None = OrmMetadataField(None, description='Largest stress after the relaxation, eV/Å3')
        num_strains: int | None = OrmMetadataField(None, description='Strained cells: none is the image of another')
        functions: dict[str, float | None] | None = OrmMetadataField(
            None, description='What functions say of the relaxed crystal, by module:function'
        )
        tensor: list[list[float]] | None = OrmMetadataField(
            None, description='6×6, Voigt notation, in the Cartesian frame of the relaxed crystal'
        )
        tensor_ieee: list[list[float]] | None = OrmMetadataField(
            None, description='6×6, Voigt notation, in the standard orientation (IEEE 176-1987)'
        )
        bulk_modulus_voigt: float | None = OrmMetadataField(None, description='Bulk modulus, uniform strain')
        bulk_modulus_reuss: float | None = OrmMetadataField(None, description='Bulk modulus, uniform stress')
        bulk_modulus_vrh: float | None = OrmMetadataField(None, description='Bulk modulus, mean of both')
        shear_modulus_voigt: float | None = OrmMetadataField(None, description='Shear modulus, uniform strain')
        shear_modulus_reuss: float | None = OrmMetadataField(None, description='Shear modulus, uniform stress')
        shear_modulus_vrh: float | None = OrmMetadataField(None, description='Shear modulus, mean of both')
        young_modulus: float | None = OrmMetadataField(None, description='Of the isotropic average')
        poisson_ratio: float | None = OrmMetadataField(None, description='Of the isotropic average')
        universal_anisotropy: float | None = OrmMetadataField(None, description='0 for an isotropic crystal')
        smallest_eigenvalue: float | None = OrmMetadataField(None, description='Of the tensor in Voigt notation')
        mechanically_stable: bool | None = OrmMetadataField(None, description='Whether all eigenvalues are positive')
        asymmetry: float | None = OrmMetadataField(
            None, description='Largest |C_ij − C_ji| of the fit over the largest component: its error'
        )

        @pydantic.model_validator(mode='after')
        def _complete(self) -> t.Any:
            if self.has_tensor == bool(self.reason) or self.has_tensor != (self.tensor is not None):
                raise ValueError('expected either a tensor or the reason why there is none')
            return self
