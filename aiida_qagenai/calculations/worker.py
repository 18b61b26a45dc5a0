"""A worker of the daemon that has lost its database ends, so that the daemon starts another one.

AiiDA's workers survive a restart of PostgreSQL, but their session does not: every process they hold fails to save its
state, or waits for ever. Ended before it acknowledges a task or marks a process as failed, a worker leaves both to its
successor, which goes on from the last saved states.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import typing as t

from aiida import orm
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError

__all__ = ('end_without_database', 'watch_database')

LOGGER = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two looks at the database."""


def lost_database(exception: BaseException | None) -> bool:
    """Return whether an exception, or one that it followed from, says that PostgreSQL is away, or was for a moment.

    A busy SQLite raises an ``OperationalError`` as well, and works again a little later.
    """
    while exception is not None:
        if isinstance(exception, PendingRollbackError):
            return True
        if isinstance(exception, DBAPIError) and exception.connection_invalidated:
            return True
        if isinstance(exception, OperationalError) and type(exception.orig).__module__.startswith('psycopg'):
            return True
        exception = exception.__cause__ or exception.__context__
    return False


def end_without_database(exception: BaseException | None) -> None:
    """End this interpreter, as a kill would, if that is what the exception comes from."""
    if lost_database(exception):
        LOGGER.critical('worker %d has lost its database and ends: %s', os.getpid(), exception)
        os.kill(os.getpid(), signal.SIGKILL)


@functools.cache
def watch_database(loop: asyncio.AbstractEventLoop) -> t.Any:
    """Look at the database from time to time, for processes that only wait; started once for each event loop."""
    return loop.create_task(_watch())


async def _watch() -> None:
    """Ask for next to nothing, for ever."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            orm.User.collection.count()
        except Exception as exception:
            end_without_database(exception)
