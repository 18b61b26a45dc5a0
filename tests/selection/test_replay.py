"""Stopping rules replayed on recorded campaigns."""

from __future__ import annotations

import pytest

from aiida_qagenai.selection.replay import empty_cycles_sensitivity, replay, replay_rules
from aiida_qagenai.selection.stopping import CycleRecord, EmptyCycles, FixedCycles


def history(*hits: int, calls: int = 10, sigma: float | None = None) -> list[CycleRecord]:
    """Return a campaign with these hits, the same number of calls in every cycle."""
    return [CycleRecord(calls, number, 100, mean_sigma=sigma) for number in hits]


DRY = history(4, 3, 1, 0, 0, 0, 0, 2, 0, 0)
"""Hits dry up after the third cycle, but for two in the eighth."""


def test_what_a_rule_saves_and_keeps():
    """Three empty cycles end the campaign after the sixth: 8 of 10 hits for 60 of 100 calls."""
    found = replay('C', EmptyCycles(3), DRY)
    assert (found.stops, found.cycles, found.calls, found.hits) == (True, 6, 60, 8)
    assert found.calls_saved == pytest.approx(0.4)
    assert found.hits_kept == pytest.approx(0.8)
    assert found.efficiency == pytest.approx(8 / 60)
    assert found.reason == 'no hit in 3 cycles'


def test_a_rule_that_does_not_fire_has_the_numbers_of_the_record():
    found = replay('A', FixedCycles(11), DRY)
    assert (found.stops, found.cycles, found.hits_kept, found.calls_saved) == (False, 10, 1.0, 0.0)
    assert found.reason == 'not within 10 cycles'


def test_the_rules_of_the_paper():
    """Rules A to D in order; D cannot fire where no σ was recorded."""
    found = {each.rule[0] + str(each.cycles): each for each in replay_rules(DRY)}
    assert list(found) == ['A10', 'B3', 'C5', 'C6', 'C7', 'D10']
    assert found['D10'].reason == 'no σ was recorded'
    assert replay_rules(history(1, 1, sigma=0.005))[-1].cycles == 1


def test_sensitivity_to_the_number_of_empty_cycles():
    """8 hits in 50, 60 or 70 calls: 20 % more or 14 % less than with N = 3."""
    assert empty_cycles_sensitivity(DRY) == pytest.approx(0.2)
    assert empty_cycles_sensitivity(history(0, 0, 0, 0)) is None


def test_a_campaign_without_hits_keeps_no_share():
    found = replay('C', EmptyCycles(2), history(0, 0, 0))
    assert (found.cycles, found.hits_kept, found.efficiency) == (2, None, 0.0)
