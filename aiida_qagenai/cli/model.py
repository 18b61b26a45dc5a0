"""`aiida-qagenai model lineage`: what a model came from."""

from __future__ import annotations

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.loaders import load_checkpoint
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, NODE

__all__ = ('model',)

model = Noun('model', help='Inspect trained models.')
COLUMNS = columns('pk, kind, what, made_by: made by, process, used_by: used by, created, note')


@model.command()
@click.argument('checkpoint', metavar=NODE)
@FORMAT
def lineage(checkpoint: str, fmt: str) -> None:
    """List what a checkpoint descends from, back to the first energy."""
    from aiida_qagenai.queries import searches

    node = load_checkpoint(checkpoint)
    assert node is not None
    frame = searches.lineage(node.pk)
    print_frame(frame, fmt, COLUMNS, footer=f'{len(frame)} nodes')
