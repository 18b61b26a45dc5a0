"""What a campaign is doing, in words, from the links of its process."""

from __future__ import annotations

import pytest
from aiida.common.links import LinkType
from aiida.engine import ProcessState
from aiida.orm import CalcJobNode, WorkChainNode

from aiida_qagenai.cli.progress import describe_campaign


def call(caller, label, kind=WorkChainNode, *, ended=False):
    """Return a stored process that ``caller`` has called under the link ``label``."""
    node = kind()
    link_type = LinkType.CALL_CALC if kind is CalcJobNode else LinkType.CALL_WORK
    node.base.links.add_incoming(caller, link_type, label)
    if ended:
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(0)
    return node.store()


@pytest.mark.parametrize(
    ('children', 'text'),
    [
        ({}, 'cycle 1: between two steps'),
        ({'generate': False}, 'cycle 1: generating candidates'),
        ({'generate': True}, 'cycle 1: between two steps'),
        ({'generate': True, 'predict': False}, 'cycle 1: predicting all levels'),
        ({'relaxations': False}, 'cycle 1: relaxations'),
        ({'traingenerator': False, 'trainvalidator': True}, 'cycle 1: training the models (generator) 1/2'),
    ],
)
def test_a_running_campaign(aiida_profile_clean, children, text):
    """The last stage counts, and in it the first step that has not ended."""
    campaign = WorkChainNode().store()
    assert describe_campaign(campaign, 0) == 'campaign: waiting for the daemon'
    seed = call(campaign, 'seed')
    call(seed, 'seedset', CalcJobNode)
    assert describe_campaign(campaign, 0) == 'initial set: building the initial structures'
    cycle = call(campaign, 'cycle001')
    for label, ended in children.items():
        call(cycle, label, CalcJobNode, ended=ended)
    assert describe_campaign(campaign, 0) == text


def test_a_finished_campaign(toy):
    assert describe_campaign(toy.campaign, 0) == 'cycle 2: finished'
