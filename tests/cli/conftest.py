"""Fixtures of the command line tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='module')
def toy(aiida_profile):
    """Return a finished campaign called `toy`."""
    from fake_campaign import make_campaign

    aiida_profile.reset_storage()
    return make_campaign('toy')


@pytest.fixture
def run():
    """Return a function that runs ``aiida-qagenai`` in this process."""
    from click.testing import CliRunner

    from aiida_qagenai.cli import main

    def invoke(*arguments: str, status: int = 0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return invoke
