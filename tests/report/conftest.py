"""A finished campaign for all tests of its figures and pages."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='module')
def toy(aiida_profile):
    """Return a finished campaign called `toy`, and a running one called `young` that has computed nothing."""
    from fake_campaign import FakeCampaign, make_campaign

    aiida_profile.reset_storage()
    toy = make_campaign('toy')
    young = FakeCampaign('young')
    young.campaign = young.start()
    toy.young = young
    return toy
