"""Which exceptions end a worker."""

from __future__ import annotations

import signal
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

from aiida_qagenai.calculations.worker import lost_database

END = """
from sqlalchemy.exc import PendingRollbackError
from aiida_qagenai.calculations.worker import end_without_database
end_without_database(ValueError('of the calculation'))
print('alive', flush=True)
end_without_database(PendingRollbackError('of the session'))
print('alive', flush=True)
"""


def chained(cause: Exception) -> Exception:
    """Return what a caller sees that turned an exception into another."""
    try:
        raise KeyError from cause
    except KeyError as exception:
        return exception


@pytest.mark.parametrize(
    ('exception', 'lost'),
    [
        (PendingRollbackError('rolled back'), True),
        (OperationalError('SELECT 1', {}, Exception('terminated'), connection_invalidated=True), True),
        (OperationalError('SELECT 1', {}, psycopg.OperationalError('connection refused')), True),
        (chained(PendingRollbackError('rolled back')), True),
        (OperationalError('SELECT 1', {}, Exception('database is locked')), False),
        (chained(ValueError('of the calculation')), False),
        (None, False),
    ],
)
def test_only_a_lost_connection_counts(exception, lost):
    """A database that is busy, or a calculation that fails, is no reason to end."""
    assert lost_database(exception) is lost


def test_the_interpreter_ends_at_once():
    """Nothing after it runs, as after a kill."""
    result = subprocess.run([sys.executable, '-c', END], capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == 'alive\n'
    assert result.returncode == -signal.SIGKILL
