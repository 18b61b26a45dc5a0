"""`aiida-qagenai archive export|import`: campaigns as files."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.params import NODE, OUTPUT

if t.TYPE_CHECKING:
    from aiida_qagenai.queries.archive import ArchiveInfo

__all__ = ('archive',)

archive = Noun('archive', help='Write campaigns to files and import them.')


@archive.command()
@click.argument('campaign', metavar=NODE)
@click.argument('file', type=OUTPUT)
@click.option('--force', is_flag=True, help='Replace an existing file.')
def export(campaign: str, file: Path, *, force: bool) -> None:
    """Write a campaign with its provenance to FILE."""
    from aiida_qagenai.queries.archive import export_campaign

    info = export_campaign(campaign, file, force=force)
    click.echo(f'{file}: campaign `{info.campaign}`, {_counts(info)}, {file.stat().st_size / 1e6:.1f} MB')


@archive.command('import')
@click.argument('file', type=OUTPUT)
def import_(file: Path) -> None:
    """Import a campaign from FILE.

    The file is checked first: it must be complete and unaltered.
    """
    from aiida_qagenai.queries.archive import import_archive

    info = import_archive(file)
    click.echo(f'campaign `{info.campaign}`: {_counts(info)}, {info.new_nodes} of them new')
    click.echo(f'`aiida-qagenai campaign show {info.campaign}` shows it.')


def _counts(info: ArchiveInfo) -> str:
    names = {'CandidateData': 'candidates', 'EnergyData': 'energies', 'CheckpointData': 'checkpoints'}
    counts = ', '.join(f'{info.nodes.get(name, 0)} {text}' for name, text in names.items())
    return f'{sum(info.nodes.values())} nodes ({counts})'
