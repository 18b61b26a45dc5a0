"""What holds for bulk storage on SQLite holds on PostgreSQL: the same tests again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('module', ['test_archive', 'test_batch', 'test_bulk', 'test_integrity', 'test_queries'])
def test_provenance_on_postgresql(services, module):
    """The tests of the module pass, with a database of their own in place of SQLite."""
    environment = {**os.environ, 'QAGENAI_TEST_POSTGRESQL': services['postgresql'].create_database(module)}
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'tests/provenance/{module}.py']
    result = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert ' passed' in result.stdout
    assert 'skipped' not in result.stdout
    tables = services['postgresql'].query(module, "SELECT count(*) FROM pg_tables WHERE tablename = 'db_dbnode'")
    assert tables == '1', 'the tests ran on another backend'
