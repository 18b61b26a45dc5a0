"""Messages through the broker while it is being restarted: children submitted and watched once it is back.

Upstream: AiiDA 2.9 lets a process fail whose message cannot be sent, and a parent that polls may read that a child has
finished before it can read how. Both belong into ``Process.submit`` and ``WorkChain._on_awaitable_finished``.
"""

from __future__ import annotations

import collections
import functools
import typing as t

import kiwipy
from aiida.common import timezone
from aiida.orm import ProcessNode, load_node
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from aiida_qagenai.engine.endings import close
from aiida_qagenai.engine.exclusive import ExclusiveMixin
from aiida_qagenai.engine.links import LinksMixin
from aiida_qagenai.engine.names import NamedMixin

__all__ = ('ReconnectingMixin',)

BROKER_AWAY = (AMQPError, ChannelInvalidStateError, ConnectionError, TimeoutError)
"""What sending raises while the broker is being restarted."""

SEND_INTERVAL = 2.0
"""Seconds between two attempts to send a task."""

SEAL_INTERVAL = 0.1
SEAL_TIMEOUT = 60.0
"""Seconds between two looks at a child that has ended and is not sealed, and in all."""


class ReconnectingMixin(NamedMixin, LinksMixin, ExclusiveMixin):
    """Mixin, before a work chain, that submits children while the broker is away and looks at them once sealed.

    AiiDA writes that a process has finished before it writes how. A parent that polls, because the broker was restarted
    and the message is gone, may read the one without the other and take a success for a failure.
    """

    loop: t.Any
    node: t.Any
    call_soon: t.Any
    report: t.Any
    _awaitables: list[t.Any]

    def submit(self, process: t.Any, inputs: t.Mapping[str, t.Any] | None = None, **kwargs: t.Any) -> ProcessNode:
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
        """Take up the child that has ended, or look again soon; one that no worker seals is sealed."""
        if awaitable not in self._awaitables:
            return  # told a second time
        looks: collections.Counter[int] = vars(self).setdefault('_looks', collections.Counter())
        looks[awaitable.pk] += 1
        child = load_node(awaitable.pk)
        if not child.is_sealed and looks[awaitable.pk] * SEAL_INTERVAL < SEAL_TIMEOUT:
            self.loop.call_later(SEAL_INTERVAL, self.call_soon, self._on_awaitable_finished, awaitable)
            return
        close(child)
        super()._on_awaitable_finished(awaitable)  # type: ignore[misc]

    def kill_children(self, children: t.Mapping[str, int], reason: str) -> None:
        """Ask running children, given as label → pk, to end; where nobody passes that on, they are waited for."""
        if self.runner.controller is None:
            return
        for label, pk in children.items():
            try:
                self.runner.controller.kill_process(pk, msg_text=reason)
            except (kiwipy.DeliveryFailed, *BROKER_AWAY) as exception:
                self.report(f'{label} could not be killed and is waited for: {exception}')
