"""Parser of :class:`~aiida_qagenai.calculations.atomistic.relax.RelaxCalculation`."""

from __future__ import annotations

import typing as t

from numpy.typing import NDArray

from aiida_qagenai.parsers.base import AtomisticParser, make_structures

__all__ = ('RelaxParser',)


class RelaxParser(AtomisticParser):
    """Make the relaxed structure from the packed crystal."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the relaxed structure."""
        self.out('relaxed', make_structures(arrays)[0])
