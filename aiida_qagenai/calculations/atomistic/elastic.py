"""Compute the elastic tensors of many crystals on a potential, all in one job."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import StructureData

from aiida_qagenai.calculations.atomistic.base import AtomisticCalculation, potential_problem, structure_problem
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse

__all__ = ('ElasticCalculation',)


class ElasticCalculation(AtomisticCalculation):
    """Relax crystals, strain them, relax their atoms, and fit the stresses, many crystals in each evaluation.

    One that fails costs the others nothing: its ``ElasticData`` says why. An unstable crystal is a result.
    """

    TASK = 'elastic'
    FILENAME_OUTPUT = 'elastic.npz'
    FILES: t.ClassVar[dict[str, str]] = {
        'structures': AtomisticCalculation.FILENAME_STRUCTURES,
        'output': FILENAME_OUTPUT,
        'journal': 'elastic.jsonl',
    }

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input_namespace(
            'structures', valid_type=StructureData, dynamic=True, help='Crystals by label; they are relaxed first.'
        )
        spec.output_namespace(
            'elastic',
            valid_type=ElasticData,
            required=False,
            help='Elastic tensor of each crystal by label, or why there is none.',
        )
        spec.output_namespace(
            'relaxed',
            valid_type=StructureData,
            required=False,
            help='Relaxed crystals by label, where they relaxed.',
        )

    @classmethod
    def validate_inputs(cls, value: dict[str, t.Any], _: t.Any) -> str | None:
        """Refuse a validator without its checkpoint; what a potential does not cover is reported by crystal."""
        if 'parameters' not in value or 'structures' not in value:
            return None
        if not value['structures']:
            return 'no structures are given'
        for label, structure in value['structures'].items():
            problem = structure_problem(structure)
            if problem:
                return f'`{label}`: {problem}'
        potential = parse(cls.TASK, cls.complete(value['parameters'].get_dict())).potential
        return potential_problem(potential, (), value.get('checkpoint'))

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the crystals in the order of their labels, and the checkpoint."""
        structures = dict(sorted(self.inputs.structures.items()))
        crystals = [structure.get_pymatgen() for structure in structures.values()]
        batch = StructureBatch.from_structures(crystals, list(structures))
        batch.save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        names = [self.FILENAME_STRUCTURES]
        if 'checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_CHECKPOINT, self.inputs.checkpoint)
        return names
