"""The command ``gaps``: band gaps of crystals or of compositions."""

from __future__ import annotations

import numpy as np

from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import GapConfig
from aiida_qagenai.ml.elements import fractions_of
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.properties.described import describe_compositions, descriptor_arrays, load_descriptor_heads
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('gaps',)


def gaps(config: GapConfig, runtime: Runtime, record: Record) -> None:
    """Predict the gaps that are asked for and write the arrays of ``Gaps``; of compositions descriptors as well.

    :raises InvalidInputError: if something is not an element.
    """
    model, arrays = load_gap_model(runtime), {}
    with record.stage('evaluation'):
        if config.structures is not None:
            found = model.of_structures(StructureBatch.load(config.structures))
        else:
            compositions = config.compositions or ()
            found = model.of_compositions(*fractions_of(compositions, model.elements))
            arrays = descriptor_arrays(describe_compositions(load_descriptor_heads(runtime, gaps=model), compositions))
    save_arrays(config.output, {**arrays, **found.arrays(), 'format_version': np.array(FORMAT_VERSION)})
