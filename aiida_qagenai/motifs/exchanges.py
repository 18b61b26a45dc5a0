"""Which elements take each other's place in known crystals.

Two elements that occupy the same set of sites of one structure type can be exchanged in it. How much more often that
happens than by chance is a log odds ratio (the idea of data-mined substitution: G. Hautier et al., Inorg. Chem. 50,
656, 2011), here of a whole library and without oxidation states, so that alloys count as well.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, load_arrays, save_arrays
from aiida_qagenai.motifs.elements import NUM_ELEMENTS
from aiida_qagenai.motifs.library import MotifLibrary

__all__ = ('DEFAULT_EXCHANGES', 'ExchangeTable')

DEFAULT_EXCHANGES = Path(__file__).parent / 'exchanges.npz'
"""The table that comes with the package; its card is ``card.json`` beside it."""

MOST = 3
"""Crystals of one structure type and element that count: more say nothing new about the element."""

PRIOR = 0.5
"""Added to observed and expected numbers, so that pairs that were never seen have finite odds."""

SAME = 4.0
"""Log odds of an element with itself, about as much as of the most alike pairs."""


@dataclasses.dataclass(frozen=True)
class ExchangeTable:
    """Log odds that two elements take each other's place.

    :param log_odds: by atomic numbers, shape (NUM_ELEMENTS + 1, NUM_ELEMENTS + 1), symmetric.
    """

    log_odds: NDArray[np.float64]

    @classmethod
    def fit(cls, library: MotifLibrary) -> ExchangeTable:
        """Return the table of the crystals of a library."""
        together = np.zeros((NUM_ELEMENTS + 1, NUM_ELEMENTS + 1))
        for family in library.families.values():
            sites: dict[tuple[int, ...], NDArray[np.float64]] = defaultdict(lambda: np.zeros(NUM_ELEMENTS + 1))
            types = np.column_stack([family.space_groups, family.formula_units, family.roles])
            for row, elements in zip(types.tolist(), family.elements.tolist(), strict=True):
                for place, number in enumerate(elements):
                    sites[place, *row][number] += 1
            counts = np.minimum(np.array(list(sites.values())), MOST)
            together += counts.T @ counts
        np.fill_diagonal(together, 0.0)
        totals = together.sum(1)
        expected = np.outer(totals, totals) / max(float(totals.sum()), 1.0)
        log_odds = np.log((together + PRIOR) / (expected + PRIOR))
        np.fill_diagonal(log_odds, SAME)
        return cls(log_odds)

    @classmethod
    def load(cls, path: Path) -> ExchangeTable:
        """Read a table.

        :raises CorruptFileError: if the file is not one.
        """
        log_odds = load_arrays(path).get('log_odds')
        if log_odds is None or log_odds.shape != (NUM_ELEMENTS + 1, NUM_ELEMENTS + 1):
            raise CorruptFileError(f'`{path}` is not a table of exchanges')
        return cls(log_odds.astype(np.float64))

    @classmethod
    @functools.cache
    def default(cls) -> ExchangeTable:
        """Return the table that comes with the package."""
        return cls.load(DEFAULT_EXCHANGES)

    def save(self, path: Path) -> None:
        """Write the table as NPZ; the same table gives the same bytes."""
        save_arrays(path, {'log_odds': self.log_odds.astype(np.float32), 'format_version': np.array(FORMAT_VERSION)})
