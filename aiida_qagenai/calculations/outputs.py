"""Outputs that are linked to the record of a process as they appear, without loading those that are linked already."""

from __future__ import annotations

import typing as t

from aiida.common.links import LinkType
from aiida.orm import CalculationNode

from aiida_qagenai.provenance.bulk import linked_uuids

__all__ = ('OutputsMixin',)


class OutputsMixin:
    """Mixin, before a process class: what has been linked is remembered.

    AiiDA loads all outputs of a process from the database at every change of its state, to see which are new: several
    times in the life of each calculation, and all nodes of a batch.
    """

    metadata: t.Any
    node: t.Any
    _linked: frozenset[str] = frozenset()

    def update_outputs(self) -> None:
        """Store and link the outputs that are new."""
        outputs = self._flat_outputs()  # type: ignore[attr-defined]
        if outputs.keys() <= self._linked or not self.metadata.store_provenance:
            return
        link_type = LinkType.CREATE if isinstance(self.node, CalculationNode) else LinkType.RETURN
        # A process that was loaded, or whose parser stored outputs in bulk, has more of them than it remembers.
        new = outputs.keys() - linked_uuids(self.node, link_type).keys()
        for label, output in outputs.items():
            if label in new:
                output.base.links.add_incoming(self.node, link_type, label)
                output.store()
        self._linked = frozenset(outputs)
