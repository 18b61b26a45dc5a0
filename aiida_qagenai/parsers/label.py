"""Parser of :class:`~aiida_qagenai.calculations.atomistic.label.LabelCalculation`."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.orm import ArrayData
from numpy.typing import NDArray

from aiida_qagenai.parsers.base import AtomisticParser, ParsingError

__all__ = ('LabelParser',)


class LabelParser(AtomisticParser):
    """Make the labels, with the level of theory that they stand on."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the labels."""
        structures = self.node.inputs.structures.structures()
        if arrays['identifiers'].tolist() != structures.identifiers.tolist():
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', 'the labels are not in the order of the structures')
        shapes = {
            'energies': (len(structures),),
            'forces': structures.fractional.shape,
            'stresses': structures.cells.shape,
        }
        labels = ArrayData()
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                message = f'array `{name}` has shape {arrays[name].shape}, expected {shape}'
                raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', message)
            labels.set_array(name, arrays[name])
        for name in ('level', 'sha256'):
            labels.base.attributes.set(name, str(arrays[name]))
        if not np.isfinite(arrays['energies']).any():
            raise ParsingError('ERROR_NOTHING_LABELLED', str(arrays['reasons'][0]))
        self.out('labels', labels)
