"""Fixtures of the command line tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='module')
def toy(aiida_profile):
    """Return a finished campaign called `toy`."""
    from fake_campaign import make_campaign

    aiida_profile.reset_storage()
    return make_campaign('toy')
