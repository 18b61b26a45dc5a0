"""Commands that judge a campaign by its computed energies: hits, stopping rules."""

from __future__ import annotations

import click

from aiida_qagenai.cli.campaign.commands import CAMPAIGN
from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, option

__all__ = ('hits', 'stopping')

HITS = columns(
    'name, formula, level, e_above_hull: above hull eV/atom, stability, hit, divergence: D eV/atom, '
    'divergence_hit: D hit, references, missing: hull lacks'
)
RULES = columns(
    'rule, stops, cycles, calls, hits, calls_saved: calls saved, hits_kept: hits kept, '
    'efficiency: hits per call, reason'
)


@click.command(cls=ProfileCommand)
@CAMPAIGN
@FORMAT
def hits(campaign: str, fmt: str) -> None:
    """Show the computed candidates on the hull of each level.

    A hit is decided on the highest level at which a candidate has an energy. The hull of a level holds the energies of
    the campaign at that level, and the elements at zero; its column says in which subsystems it has no phase.
    """
    from aiida_qagenai.queries.hits import hits as search

    table = search(campaign)
    found = table[table['last'] & table['hit']]
    footer = f'{len(found)} hits among {table["name"].nunique()} computed candidates'
    if not table['complete'].all():
        footer += '; where the hull lacks phases, a distance may be too small'
    print_frame(table, fmt, HITS, footer=footer)


@click.command(cls=ProfileCommand)
@CAMPAIGN
@option('--count', type=click.Choice(['hits', 'divergence_hits']), default='hits', help='What counts as a hit.')
@FORMAT
def stopping(campaign: str, count: str, fmt: str) -> None:
    """Show when each stopping rule would have ended a campaign.

    The rules of the paper are replayed on the finished cycles. What would have followed the last cycle is not known: a
    rule that does not stop has the numbers of the whole record.
    """
    from aiida_qagenai.queries.stopping import stopping_rules, stopping_sensitivity

    change = stopping_sensitivity(campaign, count)
    footer = 'no hit: the rules cannot be compared' if change is None else _sensitivity(change)
    print_frame(stopping_rules(campaign, count), fmt, RULES, footer=footer)


def _sensitivity(change: float) -> str:
    return f'hits per call of rule C change by up to {change:.1%} when N is 2 or 4 in place of 3'
