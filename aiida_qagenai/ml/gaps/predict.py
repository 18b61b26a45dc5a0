"""The command ``gaps``: band gaps of crystals or of compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, require_elements
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import GapConfig
from aiida_qagenai.ml.gaps.model import GapModel, Gaps, load_gap_model
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('gaps',)


def gaps(config: GapConfig, runtime: Runtime, record: Record) -> None:
    """Predict the gaps that are asked for and write the arrays of ``Gaps``.

    :raises InvalidInputError: if something is not an element.
    """
    model = load_gap_model(runtime)
    with record.stage('evaluation'):
        if config.structures is not None:
            found = model.of_structures(StructureBatch.load(config.structures))
        else:
            found = _of_compositions(model, config.compositions or ())
    save_arrays(config.output, {**found.arrays(), 'format_version': np.array(FORMAT_VERSION)})


def _of_compositions(model: GapModel, compositions: Sequence[Mapping[str, float]]) -> Gaps:
    places = {number: place for place, number in enumerate(model.elements)}
    fractions, unseen = np.zeros((len(compositions), len(places))), np.zeros(len(compositions), dtype=np.bool_)
    for row, amounts in enumerate(compositions):
        for symbol in require_elements(tuple(amounts)):
            place = places.get(ATOMIC_NUMBERS[symbol])
            if place is None:
                unseen[row] = True
            else:
                fractions[row, place] = amounts[symbol] / sum(amounts.values())
    return model.of_compositions(fractions, unseen)
