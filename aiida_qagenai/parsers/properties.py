"""Parser of :class:`~aiida_qagenai.calculations.models.properties.PropertiesCalculation`."""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida.orm import ArrayData

from aiida_qagenai.calculations.models.properties import PropertiesCalculation
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.structures import load_arrays, pick_arrays
from aiida_qagenai.parsers.base import MlParser, ParsingError, reading_outputs

__all__ = ('PropertiesParser',)

ARRAYS = ('properties', 'property_sigma', 'property_out_of_distribution', 'latent', 'identifiers')


class PropertiesParser(MlParser):
    """Make one node of the predictions."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the arrays."""
        path = self.require(folder / PropertiesCalculation.FILENAME_OUTPUT)
        energies = ('formation_energy',) if self.node.inputs.parameters.get('energies', False) else ()
        with reading_outputs():
            arrays = pick_arrays(load_arrays(path), (*ARRAYS, *energies))
        asked = self.node.inputs.candidate_set.structures().identifiers.tolist()
        if arrays.pop('identifiers').tolist() != asked:
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', 'the predictions are not in the order of the structures')
        node = ArrayData()
        for name, values in arrays.items():
            node.set_array(name, values)
        node.base.attributes.set('names', list(PROPERTIES))
        self.out('properties', node)
