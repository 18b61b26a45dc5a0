"""Fixtures of the tests of the documentation."""

from __future__ import annotations

import pytest


@pytest.fixture
def submitted(monkeypatch):
    """Keep the daemon away: what a page submits is validated and stored as a process, and listed, but does not run."""
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    from aiida_qagenai.workchains.campaign import launch

    processes = []

    def submit(builder):
        processes.append(instantiate_process(get_manager().get_runner(), builder))
        return processes[-1].node

    monkeypatch.setattr('aiida.engine.submit', submit)
    monkeypatch.setattr(launch, 'submit', submit)
    monkeypatch.setattr(launch, 'ensure_daemon', lambda: None)
    return processes
