"""Free energies, hulls of Gibbs energies, and barriers, on one potential."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData, require_lengths

__all__ = ('BarrierData', 'FreeEnergyData', 'GibbsHullData')

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


class BarrierData(RecordData):
    """The energies along a minimum-energy path and its barriers, on one potential."""

    class AttributesModel(RecordData.AttributesModel):
        """Energies in eV (of the cell, not per atom), lengths in Å."""

        formula: str = OrmMetadataField(description='Formula of the cell, not reduced')
        chemical_system: str = OrmMetadataField(description='Sorted elements joined by a dash: H-Li')
        num_atoms: int = OrmMetadataField(ge=1, description='Atoms in the cell')
        potential: str = OrmMetadataField(min_length=1, description='Potential, its model and version')
        barrier_forward: float = OrmMetadataField(ge=0, description='Energy of the saddle minus that of the start, eV')
        barrier_reverse: float = OrmMetadataField(ge=0, description='Energy of the saddle minus that of the end, eV')
        reaction_energy: float = OrmMetadataField(description='Energy of the end minus that of the start, eV')
        path_length: float = OrmMetadataField(ge=0, description='Length of the path over all atoms, Å')
        saddle: int = OrmMetadataField(ge=0, description='Index of the image of highest energy')
        max_force: float = OrmMetadataField(ge=0, description='Largest force that remains on the path, eV/Å')
        steps: int = OrmMetadataField(ge=0, description='Optimiser steps of the band')
        single_barrier: bool = OrmMetadataField(description='Whether no image between the ends is a minimum')
        energies: list[float] = OrmMetadataField(min_length=2, description='Image energies relative to the start, eV')
        distances: list[float] = OrmMetadataField(min_length=2, description='Length of the path up to each image, Å')

        @pydantic.model_validator(mode='after')
        def _same_lengths(self) -> t.Any:
            if len(self.energies) != len(self.distances):
                raise ValueError(f'{len(self.energies)} energies for {len(self.distances)} images')
            return self
