"""`aiida-qagenai model`: checkpoints taken into the profile, and what they came from."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_qagenai.cli.contest import contest
from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.loaders import load_checkpoint
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, NODE, option
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('model',)

model = Noun('model', help='Import, inspect and compare trained models.')
model.add_command(contest)
SHIPPED = {'foundation': 'generator', 'foundation-validator': 'validator'}
"""Name of a checkpoint of the package → its role."""

COLUMNS = columns('pk, kind, what, made_by: made by, process, used_by: used by, created, note')


@model.command('import')
@click.argument('folder', metavar='FOLDER|foundation|foundation-validator')
@option('--label', help='Label of the node; by default the name of the folder.')
def import_(folder: str, label: str | None) -> None:
    """Store a checkpoint as a node.

    FOLDER holds `model.safetensors` and `config.json`, as a training writes them; `foundation` is the generator of any
    chemistry that comes with the package, `foundation-validator` the validator. Weights that are stored already are not
    stored again.
    """
    from aiida_qagenai.data.checkpoint import import_checkpoint, import_foundation

    if folder in SHIPPED:
        node, is_new = import_foundation(SHIPPED[folder], label or folder)
    elif Path(folder).is_dir():
        node, is_new = import_checkpoint(folder, label or Path(folder).resolve().name)
    else:
        names = ' or '.join(f'`{name}`' for name in SHIPPED)
        raise InvalidInputError(f'there is no folder `{folder}`: give the folder of a checkpoint, or {names}')
    kind = f'{node.role} {node.base.attributes.get("architecture")}'
    count = len(node.base.attributes.get('elements'))
    size = f'{node.base.attributes.get("num_parameters"):,} parameters, {count} elements'
    click.echo(f'checkpoint {node.pk} {"stored" if is_new else "is stored"}: {kind}, {size}')


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
