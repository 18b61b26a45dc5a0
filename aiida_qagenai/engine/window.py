"""Tasks of which a given number runs at a time: a new one starts as soon as any has ended, not when all have.

Upstream: `WorkChain` waits for all awaitables of a step; a choice to go on after the first one is asked for by many
plugins.
"""

from __future__ import annotations

import abc
import typing as t

from aiida.orm import ProcessNode, load_node
from plumpy.process_states import ProcessState

from aiida_qagenai.engine.resumable import ResumableWorkChain

__all__ = ('WindowWorkChain',)

PAUSE = 2.5
"""Seconds between the starts of two tasks: a worker takes turns, so that of many jobs that start together none computes
until all have been prepared."""


class WindowWorkChain(ResumableWorkChain):
    """A work chain with a list of tasks, each a child; it goes on to its next step as soon as one of them has ended.

    AiiDA goes on when all have. The outline is ``while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended)`` behind a
    step that calls :meth:`start`; a derived class says how a task is called and submitted and what its end means.
    """

    def start(self, tasks: t.Iterable[t.Any]) -> None:
        """Begin with ``tasks``: strings or lists of strings, which AiiDA saves between the steps."""
        self.ctx.waiting = list(tasks)
        self.ctx.running = {}

    def has_tasks(self) -> bool:
        """Return whether tasks are left."""
        return bool(self.ctx.waiting or self.ctx.running)

    def ready(self) -> list[t.Any]:
        """Return the tasks that may start now, the next one first."""
        return list(self.ctx.waiting)

    @abc.abstractmethod
    def submit_task(self, task: t.Any) -> None:
        """Submit one task by :meth:`submit_child`, or note that it is refused."""

    @abc.abstractmethod
    def note_ended(self, name: str, task: t.Any, child: ProcessNode) -> None:
        """Take up a child that has ended, well or not; one that the machine lost is submitted again instead."""

    def note_collected(self) -> None:
        """Follow up on a step in which tasks have ended."""

    def submit_child(self, name: str, task: t.Any, process: t.Any, **inputs: t.Any) -> None:
        """Submit the child of ``task`` under the link label ``name``."""
        self.ctx.running[name] = [self.submit_once(name, process, **inputs).pk, task]

    def submit_ready(self) -> None:
        """Start the next task, if one may start, and wait until one ends or the next may start.

        All running children are given to ``to_context`` again, each under its own key; :meth:`collect_ended` finds in
        the context the node of a child that has ended.
        """
        running = self.ctx.running
        before = len(running)
        while (tasks := self.ready()) and len(running) == before:
            self.ctx.waiting.remove(tasks[0])
            self.submit_task(tasks[0])
        if tasks:
            self.resume_later(PAUSE)
        self.to_context(**{name: load_node(pk) for name, (pk, _) in running.items()})

    def collect_ended(self) -> None:
        """Note what has ended, if anything has; what the machine lost goes in again."""
        before = len(self.ctx.running)
        for name, (_, task) in list(self.ctx.running.items()):
            child = self.ctx.get(name)
            if not isinstance(child, ProcessNode):
                continue
            is_lost = self.should_submit(name)
            del self.ctx[name], self.ctx.running[name]
            if is_lost:
                self.ctx.waiting.insert(0, task)
            else:
                self.note_ended(name, task, child)
        if len(self.ctx.running) < before:
            self.note_collected()

    def resume_later(self, seconds: float) -> None:
        """Go on to the next step after a while if no child has ended until then.

        A worker that takes the work chain over knows nothing of it, and goes on when a child ends.
        """
        timer = vars(self).get('_timer')
        if timer is not None:
            timer.cancel()
        self._timer = self.loop.call_later(seconds, self._resume_if_waiting)

    def _resume_if_waiting(self) -> None:
        if self.state == ProcessState.WAITING:
            self.resume()

    def _action_awaitables(self) -> None:
        """Watch the children that are not watched yet: AiiDA would begin anew with each step, and never stop."""
        watched: set[int] = self.__dict__.setdefault('_watched', set())
        awaitables = self._awaitables
        self._awaitables = [awaitable for awaitable in awaitables if awaitable.pk not in watched]
        watched.update(awaitable.pk for awaitable in self._awaitables)
        super()._action_awaitables()
        self._awaitables = awaitables

    def _on_awaitable_finished(self, awaitable: t.Any) -> None:
        """Take up a child that has ended and go on; one that ends between two steps is watched again in the next."""
        watched: set[int] = self.__dict__.setdefault('_watched', set())
        current = next((other for other in self._awaitables if other.pk == awaitable.pk), None)
        if current is None:
            watched.discard(awaitable.pk)
            return
        super()._on_awaitable_finished(current)
        if current not in self._awaitables:
            watched.discard(awaitable.pk)
            if self.state == ProcessState.WAITING:
                self.resume()
