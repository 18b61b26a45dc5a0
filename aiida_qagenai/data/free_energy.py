"""Free energy and phonons of one crystal."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData

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
        static_energy_per_atom: float = OrmMetadataField(description='Relaxed, without vibrations')
        dynamically_stable: bool = OrmMetadataField(description='Whether no mode is imaginary at the relaxed volume')
        lowest_frequency: float = OrmMetadataField(description='On the mesh; imaginary as negative, THz')
        imaginary_fraction: float = OrmMetadataField(ge=0, le=1, description='Share of the modes of the mesh')
        max_force: float = OrmMetadataField(ge=0, description='Left after the relaxation, eV/Å')
        max_stress: float = OrmMetadataField(ge=0, description='Left after the relaxation, eV/Å3')
        zero_point_energy: float | None = OrmMetadataField(None, description='G(0 K) − static energy')
        gibbs_300k: float | None = OrmMetadataField(None, description='Gibbs energy at 300 K')
        expansion_300k: float | None = OrmMetadataField(None, description='Volumetric, 1/K, at 300 K')
        heat_capacity_300k: float | None = OrmMetadataField(None, description='At constant pressure, k_B/atom, 300 K')
        bulk_modulus_300k: float | None = OrmMetadataField(None, description='Isothermal, GPa, at 300 K')
        temperatures: list[float] = OrmMetadataField(default_factory=list, description='Of the curves, K')
        gibbs: list[float] = OrmMetadataField(default_factory=list, description='Gibbs energy at zero pressure')
        volume: list[float] = OrmMetadataField(default_factory=list, description='Å3/atom')
        bulk_modulus: list[float] = OrmMetadataField(default_factory=list, description='Isothermal, eV/Å3')
        expansion: list[float] = OrmMetadataField(default_factory=list, description='Volumetric, 1/K')
        entropy: list[float] = OrmMetadataField(default_factory=list, description='eV/(K atom)')
        heat_capacity_v: list[float] = OrmMetadataField(default_factory=list, description='eV/(K atom)')
        heat_capacity_p: list[float] = OrmMetadataField(default_factory=list, description='eV/(K atom)')
        remarks: list[str] = OrmMetadataField(default_factory=list, description='What a reader should know')

        @pydantic.model_validator(mode='after')
        def _same_lengths(self) -> t.Any:
            """Check that every curve has a value at each temperature."""
            for name in CURVES:
                if len(getattr(self, name)) != len(self.temperatures):
                    message = f'{name} has {len(getattr(self, name))} values for {len(self.temperatures)} temperatures'
                    raise ValueError(message)
            return self

    @property
    def has_curves(self) -> bool:
        """Return whether there is a free energy."""
        return bool(self.base.attributes.get('temperatures'))
