"""Children kept going up to a number: a new one starts as soon as any ends, not when all have."""

from __future__ import annotations

import typing as t

from plumpy.process_states import ProcessState

__all__ = ('WindowMixin',)


class WindowMixin:
    """Mixin, before a work chain, that goes on to its next step as soon as one of the children it waits for has ended.

    AiiDA goes on when all have. The step that waits gives all running children to ``to_context`` again, each under its
    own key; the step behind it finds in the context the node of a child that has ended, and looks again at the others.
    """

    state: t.Any
    resume: t.Any
    loop: t.Any
    _awaitables: list[t.Any]

    def _action_awaitables(self) -> None:
        """Watch the children that are not watched yet: AiiDA would begin anew with each step, and never stop."""
        watched: set[int] = vars(self).setdefault('_watched', set())
        awaitables = self._awaitables
        self._awaitables = [awaitable for awaitable in awaitables if awaitable.pk not in watched]
        watched.update(awaitable.pk for awaitable in self._awaitables)
        super()._action_awaitables()  # type: ignore[misc]
        self._awaitables = awaitables

    def _on_awaitable_finished(self, awaitable: t.Any) -> None:
        """Take up a child that has ended and go on; one that ends between two steps is watched again in the next."""
        watched: set[int] = vars(self).setdefault('_watched', set())
        current = next((other for other in self._awaitables if other.pk == awaitable.pk), None)
        if current is None:
            watched.discard(awaitable.pk)
            return
        super()._on_awaitable_finished(current)  # type: ignore[misc]
        if current not in self._awaitables:
            watched.discard(awaitable.pk)
            if self.state == ProcessState.WAITING:
                self.resume()

    def resume_later(self, seconds: float) -> None:
        """Go on to the next step after a while if no child has ended until then.

        A worker that takes the work chain over knows nothing of it, and goes on when a child ends.
        """
        self.loop.call_later(seconds, self._resume_if_waiting)

    def _resume_if_waiting(self) -> None:
        if self.state == ProcessState.WAITING:
            self.resume()
