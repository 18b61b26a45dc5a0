"""Which errors of a database end a worker; that PostgreSQL's are seen is for the tests on real services."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from aiida_qagenai.engine.worker import exit_on_disconnect

END = """
import types
from aiida_qagenai.engine.worker import exit_if_disconnected
for dialect, is_disconnect in (('postgresql', False), ('sqlite', True), ('postgresql', True)):
    kind = types.SimpleNamespace(name=dialect)
    exit_if_disconnected(types.SimpleNamespace(dialect=kind, is_disconnect=is_disconnect, original_exception=None))
    print(dialect, is_disconnect, flush=True)
"""


def test_only_a_lost_postgresql_ends_the_interpreter():
    """Nothing after it runs, as after a kill."""
    result = subprocess.run([sys.executable, '-c', END], capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == 'postgresql False\nsqlite True\n'
    assert result.returncode == -signal.SIGKILL


def test_an_error_of_a_statement_is_raised_as_ever():
    """The engines of this interpreter are watched from now on, and work."""
    exit_on_disconnect()
    with create_engine('sqlite://').connect() as connection:
        with pytest.raises(OperationalError, match='no such table: unknown'):
            connection.execute(text('SELECT * FROM unknown'))
        assert connection.execute(text('SELECT 1')).scalar() == 1
