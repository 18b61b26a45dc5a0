"""Free energy and phonons of one crystal."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData, require_lengths

__all__ = ('FreeEnergyData',)

CURVES = ('gibbs', 'volume', 'bulk_modulus', 'expansion', 'entropy', 'heat_capacity_v', 'heat_capacity_p')


class FreeEnergyData(RecordData):
    """Quasi-harmonic free energy on one potential: the curves over the temperature, and scalars to search by.

    Where modes are imaginary there is no free energy: the curves are empty and the scalars None.
    """

    class AttributesModel(RecordData.AttributesModel):
        """Energies in eV/atom, volumes in Å3/atom, temperatures in K, frequencies in THz."""

        formula: str = OrmMetadataField(description='Reduced formula')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        num_atoms: int = OrmMetadataField(ge=1, description='Atoms in the cell')
        potential: str = OrmMetadataField(min_length=1, description='Potential, its model and version')
        level_tag: str = OrmMetadataField(min_length=1, description='Potential and settings that decide the energies')
        static_energy_per_atom: float = OrmMetadataField(description='Energy of the relaxed crystal without vibrations')
        dynamically_stable: bool = OrmMetadataField(description='Whether no mode is imaginary at the relaxed volume')
        lowest_frequency: float = OrmMetadataField(description='Lowest on the mesh, imaginary as negative, THz')
        imaginary_fraction: float = OrmMetadataField(ge=0, le=1, description='Imaginary share of the modes on the mesh')
        max_force: float = OrmMetadataField(ge=0, description='Largest force after the relaxation, eV/Å')
        max_stress: float = OrmMetadataField(ge=0, description='Largest stress after the relaxation, eV/Å3')
        zero_point_energy: float | None = OrmMetadataField(None, description='G(0 K) − static energy')
        gibbs_300k: float | None = OrmMetadataField(None, description='Gibbs energy at 300 K')
        expansion_300k: float | None = OrmMetadataField(None, description='Volumetric thermal expansion at 300 K, 1/K')
        heat_capacity_300k: float | None = OrmMetadataField(None, description='Isobaric, at 300 K, k_B/atom')
        bulk_modulus_300k: float | None = OrmMetadataField(None, description='Isothermal bulk modulus at 300 K, GPa')
        temperatures: list[float] = OrmMetadataField(default_factory=list, description='Temperatures of the curves, K')
        gibbs: list[float] = OrmMetadataField(default_factory=list, description='Gibbs energy at zero pressure')
        volume: list[float] = OrmMetadataField(default_factory=list, description='Equilibrium volume, Å3/atom')
        bulk_modulus: list[float] = OrmMetadataField(default_factory=list, description='Isothermal bulk modulus, eV/Å3')
        expansion: list[float] = OrmMetadataField(default_factory=list, description='Volumetric thermal expansion, 1/K')
        entropy: list[float] = OrmMetadataField(default_factory=list, description='Entropy, eV/(K atom)')
        heat_capacity_v: list[float] = OrmMetadataField(default_factory=list, description='Isochoric, eV/(K atom)')
        heat_capacity_p: list[float] = OrmMetadataField(default_factory=list, description='Isobaric, eV/(K atom)')
        remarks: list[str] = OrmMetadataField(default_factory=list, description='Warnings about the result')

        @pydantic.model_validator(mode='after')
        def _same_lengths(self) -> t.Any:
            require_lengths(self, CURVES, len(self.temperatures))
            return self

    @property
    def has_curves(self) -> bool:
        """Return whether there is a free energy."""
        return bool(self.base.attributes.get('temperatures'))
