"""Fixtures of the tests of queries."""

from __future__ import annotations

import pytest
from aiida.common import timezone


@pytest.fixture
def frozen_time(monkeypatch):
    """Let the clock of AiiDA stand still, so that ages are exact however busy the machine is."""
    moment = timezone.now()
    monkeypatch.setattr(timezone, 'now', lambda: moment)
    return moment
