"""`aiida-qagenai report`: a page on a campaign."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.loaders import load_campaign
from aiida_qagenai.cli.params import NODE, OUTPUT, option

__all__ = ('report',)


@click.command(cls=ProfileCommand)
@click.argument('campaign', metavar=NODE)
@option('--output', type=OUTPUT, help='The page; by default `campaign-LABEL.html` in this folder.')
@option('--figures', type=click.Choice(['png', 'svg', 'pdf']), help='Write the figures as files beside the page, too.')
@option('--watch', is_flag=True, help='Write the page again and again until the campaign has ended.')
@option('--interval', type=click.IntRange(min=1), default=30, help='Seconds between two versions with --watch.')
def report(campaign: str, *, output: Path | None, figures: str | None, watch: bool, interval: int) -> None:
    """Write a page on a campaign: figures, candidates and costs.

    The page is one file that needs no network. It can be written while the campaign runs; with `--watch` the file is
    replaced as the campaign goes on, and an open page loads it again. Each number says which node and which query it
    comes from.
    """
    from aiida_qagenai.queries.campaigns import find_campaign
    from aiida_qagenai.report.page import watch_report, write_report

    pk = load_campaign(campaign).pk
    path = output or Path(f'campaign-{_file_name(find_campaign(pk).label)}.html')
    if watch:
        watch_report(
            pk, path, interval=interval, figures=figures, tell=lambda written: click.echo(f'written: {written}')
        )
        return
    for written in write_report(pk, path, figures=figures):
        _tell(written)


def _tell(path: Path) -> None:
    click.echo(f'written: {path}')


def _file_name(label: str) -> str:
    """Return a label without what has a meaning in paths."""
    return ''.join(letter if letter.isalnum() or letter in '-_.' else '_' for letter in label).strip('.') or 'report'
