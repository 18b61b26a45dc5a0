"""Retrain the property heads with computed elastic tensors."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import StructureData

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.exchange.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays

__all__ = ('TunePropertiesCalculation',)


class TunePropertiesCalculation(MlCalculation):
    """Let the heads of bulk and shear moduli learn from elastic tensors: see ``ml.properties.network``."""

    TASK = 'tune_properties'
    FILENAME_STRUCTURES = 'structures.npz'
    FILENAME_LABELS = 'labels.npz'
    FOLDER_INITIAL = 'initial'
    FOLDER_OUTPUT = 'checkpoint'
    FILES: t.ClassVar[dict[str, str]] = {
        'structures': FILENAME_STRUCTURES,
        'labels': FILENAME_LABELS,
        'output': FOLDER_OUTPUT,
    }

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Relaxed crystals by label.')
        spec.input_namespace('elastic', valid_type=ElasticData, dynamic=True, help='Their tensors by the same labels.')
        spec.input(
            'initial_checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('property'),
            help='Heads to start from; those that come with the package by default.',
        )
        spec.output('checkpoint', valid_type=CheckpointData, required=False, help='The retrained heads.')
        spec.inputs.validator = validate_inputs

    def configuration(self) -> dict[str, t.Any]:
        """Return the parameters with the names of the files."""
        initial = self.FOLDER_INITIAL if 'initial_checkpoint' in self.inputs else None
        return {**super().configuration(), 'checkpoint': initial}

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the crystals, their moduli in the order of the labels, and the initial checkpoint."""
        names = sorted(self.inputs.structures)
        crystals = [self.inputs.structures[name].get_pymatgen() for name in names]
        StructureBatch.from_structures(crystals, names).save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        labels = {
            name: np.array([modulus(self.inputs.elastic[label], name) for label in names], dtype=np.float64)
            for name in PROPERTIES
        }
        save_arrays(folder.get_abs_path(self.FILENAME_LABELS), {**labels, 'format_version': np.array(FORMAT_VERSION)})
        files = [self.FILENAME_STRUCTURES, self.FILENAME_LABELS]
        if 'initial_checkpoint' in self.inputs:
            files += self.write_checkpoint(folder, self.FOLDER_INITIAL, self.inputs.initial_checkpoint)
        return files

    def output_files(self) -> list[str]:
        """Return the files of the checkpoint."""
        return [f'{self.FOLDER_OUTPUT}/{name}' for name in (WEIGHTS_NAME, CONFIG_NAME)]


def modulus(tensor: ElasticData, name: str) -> float:
    """Return a modulus (Voigt–Reuss–Hill), GPa, NaN for an unstable crystal or one without a tensor."""
    value = tensor.base.attributes.get(f'{name}_vrh', None)
    return float('nan') if value is None else float(value)


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse crystals and tensors that do not go together, or of which none says anything."""
    structures, tensors = value.get('structures') or {}, value.get('elastic') or {}
    if set(structures) != set(tensors):
        return f'structures and tensors differ: {", ".join(sorted(set(structures) ^ set(tensors)))}'
    moduli = [modulus(tensor, name) for tensor in tensors.values() for name in PROPERTIES]
    return None if any(number > 0 for number in moduli) else 'not one crystal has a modulus to learn from'
