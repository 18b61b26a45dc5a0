"""Links of the record of a process to its inputs and outputs, without asking the database what is known already.

Upstream: `Process.update_outputs` and `Process._setup_inputs` can remember what they have linked.
"""

from __future__ import annotations

import functools
import typing as t

from aiida.common.links import LinkType, validate_link_label
from aiida.orm import CalculationNode, Data, ProcessNode
from aiida.orm.utils.links import LinkTriple

from aiida_qagenai.engine.bulk import linked_uuids

__all__ = ('LinksMixin',)


class LinksMixin:
    """Mixin, before a process class: what has been linked is remembered.

    AiiDA loads all outputs of a process from the database at every change of its state, to see which are new: several
    times in the life of each calculation, and all nodes of a batch. For every input and output it asks two or three
    times whether there are links that a new record cannot have.
    """

    metadata: t.Any
    node: t.Any
    _linked: frozenset[str] = frozenset()

    def _setup_inputs(self) -> None:
        """Link the inputs to the record, which is not stored yet."""
        links = self.node.base.links
        links.add_incoming = functools.partial(add_first, self.node)
        try:
            super()._setup_inputs()  # type: ignore[misc]
        finally:
            del links.add_incoming

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
                add = output.base.links.add_incoming if output.is_stored else functools.partial(add_first, output)
                add(self.node, link_type, label)
                output.store()
        self._linked = frozenset(outputs)


def add_first(target: Data | ProcessNode, source: Data | ProcessNode, link_type: LinkType, link_label: str) -> None:
    """Add a link to a node that is not stored: there it has no other links, so that nothing has to be asked.

    :param link_label: one that is free among those of the process.
    """
    validate_link_label(link_label)
    source.base.links.validate_outgoing(target, link_type, link_label)
    target.base.links.incoming_cache.append(LinkTriple(source, link_type, link_label))
