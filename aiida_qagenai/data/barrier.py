"""Barrier of one hop or transformation."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData

__all__ = ('BarrierData',)


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
                message = f'{len(self.energies)} energies for {len(self.distances)} images'
                raise ValueError(message)
            return self
