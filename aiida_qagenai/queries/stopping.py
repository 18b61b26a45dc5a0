"""Stopping rules replayed on a campaign of the graph."""

from __future__ import annotations

import dataclasses

import pandas as pd

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.queries.campaigns import find_campaign
from aiida_qagenai.queries.overview import last_ledger
from aiida_qagenai.selection.replay import PAPER_RULES, Replay, empty_cycles_sensitivity, replay_rules
from aiida_qagenai.selection.stopping import CycleRecord, cycle_records

__all__ = ('recorded_cycles', 'stopping_rules', 'stopping_sensitivity')

COUNTS = ('hits', 'divergence_hits')
"""What may be counted as a hit: entries of the ledger."""


def recorded_cycles(campaign: int | str, count: str = 'hits') -> list[CycleRecord]:
    """Return what the stopping rules look at, one record per finished cycle of a campaign.

    :param campaign: label, pk or uuid.
    :param count: what counts as a hit: ``hits`` (on the hull) or ``divergence_hits``.
    :raises InvalidInputError: if there is no such campaign, or none of its cycles has finished.
    """
    if count not in COUNTS:
        raise InvalidInputError(f'cannot count `{count}`: choose from {", ".join(COUNTS)}')
    ledger = last_ledger(find_campaign(campaign)) or {'cycles': []}
    if not ledger['cycles']:
        raise InvalidInputError(f'no cycle of campaign `{campaign}` has finished: there is nothing to replay')
    return cycle_records(ledger, ledger['cycles'][-1].get('budget', ledger['spent']), count=count)


def stopping_rules(campaign: int | str, count: str = 'hits') -> pd.DataFrame:
    """Return when each rule of the paper would have ended a campaign: the fields of ``Replay``, a row per rule."""
    found = replay_rules(recorded_cycles(campaign, count), PAPER_RULES)
    columns = [field.name for field in dataclasses.fields(Replay)]
    table = pd.DataFrame([dataclasses.asdict(each) for each in found], columns=columns)
    return table.astype({'hits_kept': float, 'efficiency': float})


def stopping_sensitivity(campaign: int | str, count: str = 'hits') -> float | None:
    """Return the largest relative change of the hits per call of rule C with N = 2 or 4, not 3; None without hits."""
    return empty_cycles_sensitivity(recorded_cycles(campaign, count))
