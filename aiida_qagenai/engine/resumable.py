"""Steps that may run twice: what a worker had started before it was killed is found again, not started anew."""

from __future__ import annotations

import collections
import functools
import typing as t

from aiida.common import timezone
from aiida.common.links import LinkType
from aiida.engine import WorkChain
from aiida.orm import ProcessNode, QueryBuilder, WorkChainNode, load_node
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from plumpy.process_states import ProcessState

from aiida_qagenai.engine.exclusive import ExclusiveMixin
from aiida_qagenai.engine.links import LinksMixin

__all__ = ('BROKER_AWAY', 'PatientMixin', 'ResumableWorkChain', 'ending', 'nested_outputs', 'was_lost')

ATTEMPTS = 3
"""How often a child is submitted if the machine loses it."""

SEAL_INTERVAL = 0.1
SEAL_TIMEOUT = 60.0
"""Seconds between two looks at a child that has ended and is not sealed, and in all."""

BROKER_AWAY = (AMQPError, ChannelInvalidStateError, ConnectionError, TimeoutError)
"""What sending raises while the broker is being restarted."""

SEND_INTERVAL = 2.0
"""Seconds between two attempts to send a task."""


class PatientMixin(LinksMixin, ExclusiveMixin):
    """Mixin, before a work chain, that submits children while the broker is away and looks at them once sealed.

    AiiDA writes that a process has finished before it writes how. A parent that polls, because the broker was restarted
    and the message is gone, may read the one without the other and take a success for a failure.
    """

    loop: t.Any
    node: t.Any
    call_soon: t.Any
    _awaitables: list[t.Any]

    def submit(self, process: t.Any, inputs: dict[str, t.Any] | None = None, **kwargs: t.Any) -> ProcessNode:
        """Submit a child; one that cannot be sent now, but is stored, is sent as soon as the broker is back."""
        start = timezone.now()
        try:
            child: ProcessNode = super().submit(process, inputs, **kwargs)  # type: ignore[misc]
        except BROKER_AWAY:
            called = [child for child in self.node.called if child.ctime >= start and child.checkpoint is not None]
            if not called:
                raise
            (child,) = called
            self.send(child.pk)
        return child

    def send(self, pk: int) -> None:
        """Send the task of a process, now or later; a task that arrives twice does no harm."""
        try:
            self.runner.controller.continue_process(pk, nowait=False, no_reply=True)
        except BROKER_AWAY:
            self.loop.call_later(SEND_INTERVAL, self.send, pk)

    def _action_awaitables(self) -> None:
        """Ask to be told when the children end."""
        for awaitable in self._awaitables:
            self.watch(awaitable)

    def watch(self, awaitable: t.Any) -> None:
        """Ask to be told when a child ends, now or as soon as the broker is back."""
        callback = functools.partial(self.call_soon, self._on_awaitable_finished, awaitable)
        try:
            self.runner.call_on_process_finish(awaitable.pk, callback)
        except BROKER_AWAY:
            self.loop.call_later(SEND_INTERVAL, self.watch, awaitable)

    def _on_awaitable_finished(self, awaitable: t.Any) -> None:
        """Take up the child that has ended, or look again soon; one that is never sealed is taken as it is."""
        if awaitable not in self._awaitables:
            return  # told a second time
        looks: collections.Counter[int] = vars(self).setdefault('_looks', collections.Counter())
        looks[awaitable.pk] += 1
        if not load_node(awaitable.pk).is_sealed and looks[awaitable.pk] * SEAL_INTERVAL < SEAL_TIMEOUT:
            self.loop.call_later(SEAL_INTERVAL, self.call_soon, self._on_awaitable_finished, awaitable)
            return
        super()._on_awaitable_finished(awaitable)  # type: ignore[misc]


class ResumableWorkChain(PatientMixin, WorkChain):
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
        known, label = self.attempts(label)
        if known is not None:
            return known
        if isinstance(process, type):
            inputs['metadata'] = {**inputs.get('metadata', {}), 'call_link_label': label}
        else:
            process.metadata.call_link_label = label
        child: ProcessNode = self.submit(process, **inputs)
        return child

    def attempts(self, label: str) -> tuple[ProcessNode | None, str]:
        """Return the child that counts as ``label``, and its link label; None if it has to be submitted as that."""
        names = [label + attempt * 'again' for attempt in range(ATTEMPTS)]
        children = self.called(*names)
        for name in names:
            known = children.get(name)
            if known is not None and never_started(known):
                give_up(known)
            if known is None or not was_lost(known):
                break
        return known, name

    def should_submit(self, *labels: str) -> bool:
        """Return whether a child of one of these labels was not yet called, or was lost and may be tried again.

        It is the condition of a loop around a step that submits: the machine may lose a child more than once. A child
        that was called by a worker that died before it noted so counts as not called: the step takes it up.
        """
        noted = {value.pk for value in self.ctx.values() if isinstance(value, ProcessNode)}
        children = (self.attempts(label)[0] for label in labels)
        return any(child is None or child.pk not in noted for child in children)

    def call_once(self, label: str, function: t.Any, **inputs: t.Any) -> dict[str, t.Any]:
        """Run a calcfunction unless it has already run as ``label``, and return its outputs by name.

        A function that a killed worker left unfinished is marked as killed and run again, under a longer label.
        """
        while (known := self.called(label).get(label)) is not None:
            if known.is_finished_ok:
                return nested_outputs(known)
            bury(known)
            label += 'again'
        _, node = function.run_get_node(**inputs, metadata={'call_link_label': label})
        return nested_outputs(node)


def was_lost(node: ProcessNode) -> bool:
    """Return whether the machine ended ``node`` rather than what it computes, so that it is worth another attempt.

    An exception in the daemon is of that kind (a database that went away), and so is an exit status that the process
    class declares in ``MACHINE_FAILURES``.
    """
    if node.is_excepted:
        return True
    return node.exit_status in getattr(node.process_class, 'MACHINE_FAILURES', ())


def never_started(node: ProcessNode) -> bool:
    """Return whether the worker died between storing ``node`` and saving what it could be continued from."""
    return node.process_state in {None, ProcessState.CREATED} and node.checkpoint is None


def give_up(node: ProcessNode) -> None:
    """Mark a process that never started as lost: nothing can continue it, and open it could not be exported."""
    node.set_process_state(ProcessState.EXCEPTED)
    node.set_exception('the worker was killed while it started this process')
    node.seal()


def bury(node: ProcessNode) -> None:
    """Mark a function that died with its worker as killed."""
    if not node.is_terminated:
        node.set_process_state(ProcessState.KILLED)
        node.set_process_status('the worker was killed while this function ran; it was run again')
    if not node.is_sealed:
        node.seal()


def ending(node: ProcessNode) -> str:
    """Return why ``node`` did not succeed, also if it was killed or raised an exception."""
    if node.exit_message:
        return f'{node.process_label}<{node.pk}> ended with status {node.exit_status}: {node.exit_message}'
    if node.is_excepted:
        return f'{node.process_label}<{node.pk}> raised an exception, see `verdi process report {node.pk}`'
    return f'{node.process_label}<{node.pk}> is {node.process_state.value}'


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
