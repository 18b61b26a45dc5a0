"""A worker of the daemon that has lost its database ends, so that the daemon starts another one.

AiiDA's workers survive a restart of PostgreSQL, but what they hold does not: their nodes belong to a session that is
gone, a process fails to save its state, and a callback that failed is never called again, so that a parent waits for
ever. A worker that ends before it acknowledges a task or marks a process as failed leaves both to its successor, which
continues from the last saved states.

Upstream: the daemon worker should end when its storage is disconnected.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import typing as t

from sqlalchemy import event
from sqlalchemy.engine import Engine

__all__ = ('exit_on_disconnect',)

LOGGER = logging.getLogger(__name__)


@functools.cache
def exit_on_disconnect() -> None:
    """Let this interpreter end, as by a kill, as soon as a statement finds its connection to PostgreSQL closed.

    It is the engine that is asked, below everything that may catch the exception or be called by nobody.
    """
    event.listen(Engine, 'handle_error', exit_if_disconnected)


def exit_if_disconnected(context: t.Any) -> None:
    """End this interpreter if an error means that the connection is gone; a busy SQLite works again a little later.

    :param context: SQLAlchemy's ``ExceptionContext``.
    """
    if context.is_disconnect and context.dialect.name == 'postgresql':
        LOGGER.critical('worker %d has lost its database and ends: %s', os.getpid(), context.original_exception)
        os.kill(os.getpid(), signal.SIGKILL)
