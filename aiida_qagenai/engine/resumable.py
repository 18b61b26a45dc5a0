"""Steps that may run twice: what a worker had started before it was killed is found again, not started anew.

Upstream: `WorkChain.submit` could take a key under which a repeated step finds the child that it has already submitted.
"""

from __future__ import annotations

import typing as t

from aiida.common.links import LinkType
from aiida.engine import WorkChain
from aiida.orm import ProcessNode, QueryBuilder, RemoteData, WorkChainNode

from aiida_qagenai.engine.broker import ReconnectingMixin
from aiida_qagenai.engine.endings import close, mark_killed, mark_lost, never_started, was_lost
from aiida_qagenai.engine.names import place, restore_names

__all__ = ('ResumableWorkChain', 'nested_outputs')

ATTEMPTS = 3
"""How often a child is submitted if the machine loses it."""


class ResumableWorkChain(ReconnectingMixin, WorkChain):
    """A work chain whose children carry unique call link labels.

    AiiDA saves a work chain between its steps. A worker that dies within a step repeats the whole step after the
    restart, and children that the dead worker had already submitted would run a second time. Here a step asks first
    whether it has already called a child of that label.
    """

    def called(self, *labels: str) -> dict[str, ProcessNode]:
        """Return the children called with one of the link ``labels`` by their label, by one query."""
        builder = QueryBuilder()
        builder.append(WorkChainNode, filters={'id': self.node.pk}, tag='self')
        calls = {'type': {'in': [LinkType.CALL_WORK.value, LinkType.CALL_CALC.value]}, 'label': {'in': list(labels)}}
        builder.append(ProcessNode, with_incoming='self', edge_filters=calls, edge_project='label', project='*')
        return {label: child for child, label in builder.all()}

    def submit_once(self, label: str, process: t.Any, **inputs: t.Any) -> ProcessNode:
        """Submit ``process``, a class or a builder, unless this work chain has already called it as ``label``.

        A child that was lost is submitted again, under a longer label; see :meth:`should_submit`.
        """
        self.mark_lost_children(label)
        known, label = self.latest_attempt(label)
        if known is not None:
            return known
        if isinstance(process, type):
            inputs['metadata'] = {**inputs.get('metadata', {}), 'call_link_label': label}
        else:
            process.metadata.call_link_label = label
        child: ProcessNode = self.submit(process, **inputs)
        return child

    def latest_attempt(self, label: str) -> tuple[ProcessNode | None, str]:
        """Return the child that counts as ``label``, and its link label; None if it has to be submitted as that."""
        names = attempt_labels(label)
        children = self.called(*names)
        for name in names:
            known = children.get(name)
            if known is None or not (never_started(known) or was_lost(known)):
                break
        return known, name

    def mark_lost_children(self, label: str) -> None:
        """Mark the children of ``label`` that never started as excepted: open, they could not be exported."""
        for child in self.called(*attempt_labels(label)).values():
            if never_started(child):
                mark_lost(child)

    def lost_folder(self, label: str) -> RemoteData | None:
        """Return the remote folder of the last child of ``label`` that was lost: one with a journal goes on from it."""
        names = attempt_labels(label)
        lost = {name: child for name, child in self.called(*names).items() if was_lost(child)}
        for name in reversed([name for name in names if name in lost]):
            folder = lost[name].base.links.get_outgoing(RemoteData, link_label_filter='remote_folder').first()
            if folder is not None:
                return t.cast('RemoteData', folder.node)
        return None

    def should_submit(self, *labels: str) -> bool:
        """Return whether a child of one of these labels was not yet called, or was lost and may be tried again.

        It is the condition of a loop around a step that submits: the machine may lose a child more than once. A child
        that was called by a worker that died before it noted so counts as not called: the step takes it up.
        """
        noted = {value.pk for value in self.ctx.values() if isinstance(value, ProcessNode)}
        children = (self.latest_attempt(label)[0] for label in labels)
        return any(child is None or child.pk not in noted for child in children)

    def call_once(self, label: str, function: t.Any, **inputs: t.Any) -> dict[str, t.Any]:
        """Run a calcfunction unless it has already run as ``label``, and return its outputs by name.

        A function that a killed worker left unfinished is marked as killed and run again, under a longer label.
        """
        while (known := self.called(label).get(label)) is not None:
            close(known)
            if known.is_finished_ok:
                return nested_outputs(known)
            mark_killed(known, 'the worker was killed while this function ran; it was run again')
            label += 'again'
        names = {'label': place(self.node, label)}
        _, node = function.run_get_node(**inputs, metadata={'call_link_label': label, **names})
        return nested_outputs(restore_names(node, names))


def attempt_labels(label: str) -> list[str]:
    """Return the link labels of the attempts at ``label``, the first one first."""
    return [label + attempt * 'again' for attempt in range(ATTEMPTS)]


def nested_outputs(node: ProcessNode) -> dict[str, t.Any]:
    """Return the outputs of ``node`` by name in the order of labels, namespaces as dictionaries, by one query."""
    entries = node.base.links.get_outgoing(link_type=(LinkType.CREATE, LinkType.RETURN)).all()
    outputs: dict[str, t.Any] = {}
    for entry in sorted(entries, key=lambda entry: entry.link_label):
        *namespaces, name = entry.link_label.split('__')
        target = outputs
        for namespace in namespaces:
            target = target.setdefault(namespace, {})
        target[name] = entry.node
    return outputs
