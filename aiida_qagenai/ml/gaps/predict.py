"""The command ``gaps``: band gaps of compositions. Those of crystals are part of the command ``predict``."""

from __future__ import annotations

import numpy as np

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, require_elements
from aiida_qagenai.exchange.structures import FORMAT_VERSION, save_arrays
from aiida_qagenai.exchange.tasks import GapConfig
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('gaps',)


def gaps(config: GapConfig, runtime: Runtime, record: Record) -> None:
    """Predict the gaps of ``config.compositions`` and write the arrays of ``Gaps``.

    :raises InvalidInputError: if something is not an element.
    """
    model = load_gap_model(runtime)
    places = {number: place for place, number in enumerate(model.elements)}
    fractions = np.zeros((len(config.compositions), len(places)))
    unseen = np.zeros(len(config.compositions), dtype=np.bool_)
    for row, amounts in enumerate(config.compositions):
        for symbol in require_elements(tuple(amounts)):
            place = places.get(ATOMIC_NUMBERS[symbol])
            unseen[row] |= place is None
            if place is not None:
                fractions[row, place] = amounts[symbol] / sum(amounts.values())
    with record.stage('evaluation'):
        found = model.of_compositions(fractions, unseen)
    save_arrays(config.output, {**found.arrays(), 'format_version': np.array(FORMAT_VERSION)})
