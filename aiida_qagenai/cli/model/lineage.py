"""`aiida-qagenai lineage`: what a model came from."""

from __future__ import annotations

import click

from aiida_qagenai.cli.output import FORMAT, print_frame

__all__ = ('lineage',)

COLUMNS = {
    'pk': 'pk',
    'kind': 'kind',
    'what': 'what',
    'made_by': 'made by',
    'process': 'process',
    'used_by': 'used by',
    'created': 'created',
    'note': 'note',
}


@click.command()
@click.argument('checkpoint')
@FORMAT
def lineage(checkpoint: str, fmt: str) -> None:
    """List all that the checkpoint with a pk or uuid descends from, back to the first energy."""
    from aiida_qagenai.queries import searches

    frame = searches.lineage(int(checkpoint) if checkpoint.isdigit() else checkpoint)
    print_frame(frame, fmt, COLUMNS, footer=f'{len(frame)} nodes')
