"""Parser of :class:`~aiida_qagenai.calculations.atomistic.elastic.ElasticCalculation`."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.orm import StructureData
from numpy.typing import NDArray

from aiida_qagenai.chemistry.formula import chemical_system
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.parsers.base import AtomisticParser, ParsingError

__all__ = ('ElasticParser',)

RENAMED = {'force': 'max_force', 'stress': 'max_stress'}


class ElasticParser(AtomisticParser):
    """Make a record of every crystal, and the relaxed crystals."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the outputs in the order of the labels."""
        structures = dict(sorted(self.node.inputs.structures.items()))
        after = StructureBatch.from_arrays(arrays)
        told = [outcome['identifier'] for outcome in results['elasticity']]
        if not list(structures) == after.identifiers.tolist() == told:
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', 'the crystals are not in the order of the inputs')
        for index, (label, structure) in enumerate(structures.items()):
            outcome = results['elasticity'][index]
            tensors = {'tensor': arrays['tensors'][index], 'tensor_ieee': arrays['tensors_ieee'][index]}
            self.out(f'elastic.{label}', make_record(structure, outcome, tensors, results['potential']))
            if outcome['energy_per_atom'] is not None:
                self.out(f'relaxed.{label}', StructureData(pymatgen=after.structure(index)))


def make_record(
    structure: StructureData, outcome: dict[str, t.Any], tensors: dict[str, NDArray[t.Any]], potential: str
) -> ElasticData:
    """Return the record of one crystal.

    :param outcome: of the task.
    :param tensors: shape (6, 6) each, NaN where there is none.
    """
    figures = {RENAMED.get(name, name): value for name, value in outcome.items() if name not in ('identifier', 'steps')}
    known = {name: values.tolist() for name, values in tensors.items() if np.isfinite(values).all()}
    composition = structure.get_composition()
    return ElasticData(
        structure_uuid=structure.uuid,
        formula=structure.get_pymatgen().composition.reduced_formula,
        chemical_system=chemical_system(composition),
        num_atoms=len(structure.sites),
        potential=potential,
        has_tensor='tensor' in known,
        **figures,
        **known,
    )
