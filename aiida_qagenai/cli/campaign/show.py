"""`aiida-qagenai campaign list|show`: how campaigns stand."""

from __future__ import annotations

import dataclasses
import json

import click

from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FORMAT, NODE

__all__ = ('ledger', 'list_', 'show')

CAMPAIGNS = {
    'label': 'label',
    'pk': 'pk',
    'elements': 'system',
    'protocol': 'energies',
    'state': 'state',
    'cycles': 'cycles',
    'spent': 'spent',
    'budget': 'budget',
    'candidates': 'candidates',
    'started': 'started',
}
STAGES = {
    'stage': 'stage',
    'pk': 'pk',
    'state': 'state',
    'exit_status': 'exit',
    'eligible': 'eligible',
    'selected': 'chosen',
    'failed': 'failed',
    'PBE': 'PBE',
    'SCAN': 'SCAN',
    'HSE06': 'HSE06',
    'CCSD(T)': 'CCSD(T)',
    'core_hours': 'core h',
}


@click.command('list')
@FORMAT
def list_(fmt: str) -> None:
    """List all campaigns of the profile."""
    from aiida_qagenai.queries import searches

    frame = searches.campaigns()
    footer = '' if len(frame) else 'No campaign yet: `aiida-qagenai campaign run Li H` starts one.'
    print_frame(frame, fmt, CAMPAIGNS, footer=footer)


@click.command()
@click.argument('campaign', metavar=NODE)
@FORMAT
def show(campaign: str, fmt: str) -> None:
    """Show the state of a campaign and what to do next.

    The CSV format holds the cost ledger.
    """
    from aiida_qagenai.queries import searches

    summary = searches.campaign_summary(campaign)
    if fmt == 'csv':
        click.echo(searches.cost_ledger(campaign).to_csv(index=False), nl=False)
        return
    if fmt == 'json':
        content = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
        content['stages'] = json.loads(summary.stages.to_json(orient='records'))
        click.echo(json.dumps(content, indent=2, default=str))
        return
    note = f' ({summary.note})' if summary.note else ''
    click.echo(f'{summary.label} (pk {summary.processes[-1]}), {"-".join(summary.elements)}: {summary.state}')
    click.echo(f'energies: {summary.protocol}{note}')
    click.echo(f'budget: {summary.spent} of {summary.budget} spent, {summary.core_hours:.2f} core hours')
    click.echo('counts: ' + ', '.join(f'{count} {name}' for name, count in summary.counts.items()))
    click.echo(f'started {summary.started:%Y-%m-%d %H:%M}, last change {summary.last_change:%Y-%m-%d %H:%M} UTC')
    print_frame(summary.stages, fmt, STAGES)
    if summary.message:
        click.echo(summary.message)
    click.echo(summary.advice)


@click.command()
@click.argument('campaign', metavar=NODE)
@FORMAT
def ledger(campaign: str, fmt: str) -> None:
    """Show what each cycle did and cost.

    Cycle 0 is the initial set.
    """
    from aiida_qagenai.queries import searches

    frame = searches.cost_ledger(campaign)
    hours = [name for name in frame.columns if name.startswith('core_hours')]
    total = frame[hours].sum().sum() if hours else 0.0
    footer = f'{len(frame)} rows, {total:.2f} core hours'
    print_frame(frame, fmt, {name: name.replace('_', ' ') for name in frame.columns}, footer=footer)
