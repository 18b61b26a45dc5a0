"""Commands that judge a campaign by its computed energies: hits, stopping rules, failure modes."""

from __future__ import annotations

import json

import click

from aiida_qagenai.cli.campaign.commands import CAMPAIGN
from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, option

__all__ = ('failures', 'hits', 'stopping')

HITS = columns(
    'name, formula, level, e_above_hull: above hull eV/atom, stability, hit, known_as: known as, '
    'divergence: D eV/atom, divergence_hit: D hit, references, missing: hull lacks'
)
RULES = columns(
    'rule, stops, cycles, calls, hits, calls_saved: calls saved, hits_kept: hits kept, '
    'efficiency: hits per call, reason'
)
CLASSES = columns(
    'name: class, computed, hits, hit_rate: hit rate, hit_rate_low: from, hit_rate_high: to, errors, mae: MAE eV/atom, '
    'overconfident: beyond 2σ, overconfident_low: from, overconfident_high: to'
)
PACKINGS = columns(
    'stage, structures, number, metals, fcc, bcc, hcp, share: share of the three, share_low: from, share_high: to'
)


@click.command(cls=ProfileCommand)
@CAMPAIGN
@FORMAT
def failures(campaign: str, fmt: str) -> None:
    """Show where a campaign fails, by class of materials.

    Hit rates, errors of the predictions made before the energies, and the share of them beyond 2 σ (4.6 % if the error
    bars are honest), by chemistry and by open shells. Then the share of fcc, bcc and hcp among what was generated: far
    above that of the initial set, the generator falls back on simple metals. The CSV format holds the classes.
    """
    from aiida_qagenai.queries.failures import class_rates, packing_shares

    classes = class_rates(campaign)
    if fmt == 'csv':
        print_frame(classes, fmt, CLASSES)
        return
    packings = packing_shares(campaign)
    if fmt == 'json':
        tables = {'classes': classes, 'packings': packings}
        content = {name: json.loads(table.to_json(orient='records')) for name, table in tables.items()}
        click.echo(json.dumps(content, indent=2))
        return
    for group, title in (('chemistry', 'By chemistry'), ('shells', 'By open shells')):
        print_frame(classes[classes['group'] == group], fmt, CLASSES, title=title)
    print_frame(packings, fmt, PACKINGS, title='Simple metallic packings (metallicity trap)')


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
    new = int(found['known_as'].isna().sum())
    footer = f'{len(found)} hits among {table["name"].nunique()} computed candidates, {new} of them unknown crystals'
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
