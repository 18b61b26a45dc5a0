"""Predict the properties of candidates by the property heads."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import ArrayData

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData

__all__ = ('PropertiesCalculation',)


class PropertiesCalculation(MlCalculation):
    """Predict bulk and shear moduli of a set of structures."""

    TASK = 'properties'
    CACHE_VERSION = MlCalculation.CACHE_VERSION + 1
    FOLDER_CHECKPOINT = 'heads'
    FILENAME_STRUCTURES = 'structures.npz'
    FILENAME_OUTPUT = 'properties.npz'
    FILES: t.ClassVar[dict[str, str]] = {'structures': FILENAME_STRUCTURES, 'output': FILENAME_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input('candidate_set', valid_type=DatasetData, help='Structures, packed.')
        spec.input(
            'checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('property'),
            help='Property heads; those that come with the package by default.',
        )
        spec.output(
            'properties',
            valid_type=ArrayData,
            required=False,
            help='`properties` and `property_sigma` (n, p), in GPa, in the order of the set and of the attribute '
            '`names`; `property_out_of_distribution` (n,); `latent` (n, d), what the validator says of each; with the '
            'parameter `energies` also `formation_energy` (n,), eV/atom.',
        )

    def configuration(self) -> dict[str, t.Any]:
        """Return the parameters with the names of the files."""
        checkpoint = self.FOLDER_CHECKPOINT if 'checkpoint' in self.inputs else None
        return {**super().configuration(), 'checkpoint': checkpoint}

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the structures and the checkpoint."""
        self.inputs.candidate_set.structures().save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        names = [self.FILENAME_STRUCTURES]
        if 'checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_CHECKPOINT, self.inputs.checkpoint)
        return names
