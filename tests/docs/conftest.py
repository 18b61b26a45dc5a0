"""Fixtures of the tests of the documentation."""

from __future__ import annotations

import documentation
import pytest

from aiida_qagenai.data.basis import install_families


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


@pytest.fixture
def blocks():
    """Return a factory of the blocks of a page: each runs after those before it, as in one session."""

    def create(page: str, **names):
        for block in documentation.blocks('python', pages=[page]):
            if block.reason is None:
                # the campaign of the tests diverges less than those that the page has in mind
                exec(compile(block.code.replace('0.05', '0.01'), block.where, 'exec'), names)
                yield names

    return create


@pytest.fixture
def ccgto(aiida_profile_clean, toy_basis):
    """Install a family with the name that the pages use; its bases of H and Li are small ones."""
    source, folder = toy_basis()
    sets = {'cc-pvdz': source.sets['dz'], 'cc-pvtz': source.sets['tz']}
    install_families(source.model_copy(update={'name': 'ccgto', 'sets': sets}), folder)
