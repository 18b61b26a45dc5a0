"""`aiida-qagenai dataset build|table`: training sets, and what the graph holds for them."""

from __future__ import annotations

import click

from aiida_qagenai.cli.dataset.merge import load_merge_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FORMAT, LEVEL, NODE

__all__ = ('build', 'table')

CLASSES = {
    'class': 'class',
    'train': 'train',
    'validation': 'validation',
    'calibration': 'calibration',
    'test': 'test',
    'all': 'all',
}
COMPOSITION = {
    'fidelity': 'fidelity',
    'structures': 'structures',
    'energies': 'energies',
    'scientific': 'scientific',
    'sources': 'sources',
}
CONTROLS = {
    'fidelity': 'fidelity',
    'control': 'quality control',
    'checked': 'checked',
    'passed': 'passed',
    'failed': 'failed',
    'note': 'note',
}


@click.command()
@click.option(
    '--database',
    'databases',
    multiple=True,
    metavar='DATABASE/VERSION',
    help='Take all its entries. Repeatable.',
)
@click.option('--merge', metavar=NODE, help='Take the representatives of the materials of this merge.')
@click.option('--campaign', metavar=NODE, help='Take what this campaign computed.')
@click.option(
    '--level-tag',
    'level_tags',
    multiple=True,
    help='Only energies with this level tag. Repeatable.',
)
@click.option(
    '--level', '--fidelity', 'fidelities', multiple=True, type=LEVEL, help='Only this level of theory. Repeatable.'
)
@click.option(
    '--fractions',
    type=(float, float, float, float),
    default=(0.8, 0.05, 0.05, 0.1),
    show_default=True,
    help='Shares of train, validation, calibration and test.',
)
@click.option('--seed', default=0, show_default=True, help='Seed of the splits.')
@FORMAT
def build(
    databases: tuple[str, ...],
    *,
    merge: str | None,
    campaign: str | None,
    level_tags: tuple[str, ...],
    fidelities: tuple[str, ...],
    fractions: tuple[float, float, float, float],
    seed: int,
    fmt: str,
) -> None:
    """Build a training set from the graph.

    Splits keep the structures of one formula together and divide every class in the same proportions. Building the
    same again adds nothing. The number of structures is printed by class and split.
    """
    import pandas as pd

    from aiida_qagenai.common.fidelity import Fidelity
    from aiida_qagenai.databases.merge.process import select_databases
    from aiida_qagenai.databases.views import class_counts, make_view, select, view_outputs
    from aiida_qagenai.exchange.dataset import SPLITS

    selection = select(
        databases=select_databases(databases),
        merge=load_merge_process(merge),
        campaign=campaign,
        level_tags=level_tags,
        fidelities=[Fidelity(name) for name in fidelities],
    )
    process, repeated = make_view(selection, fractions=fractions, seed=seed)
    dataset, report = view_outputs(process)
    counts = ', '.join(f'{count} {name}' for name, count in dataset.counts.items() if count)
    empty = [name for name in SPLITS if not report['splits'][name]]
    footer = (
        f'dataset {dataset.pk}: {len(dataset)} structures of {report["groups"]} formulas, {counts} energies'
        f'{" (made before)" if repeated else ""}\n'
        f'sha256 of the content {dataset.base.attributes.get("content_hash")}, of the splits {report["split_sha256"]}'
    )
    if empty:
        footer += f'\nnothing is left for {", ".join(empty)}: the classes have too few formulas to be divided'
    print_frame(pd.DataFrame(class_counts(report), columns=list(CLASSES)), fmt, CLASSES, footer=footer)


@click.command()
@click.option('--controls', is_flag=True, help='Show the quality controls instead of the counts.')
@FORMAT
def table(*, controls: bool, fmt: str) -> None:
    """Show what the graph holds per level of theory.

    With `--controls` whether it passes the quality controls (Table 4 of the paper).
    """
    from aiida_qagenai.queries.quality import composition, quality_controls

    if controls:
        print_frame(quality_controls(), fmt, CONTROLS)
    else:
        print_frame(composition(), fmt, COMPOSITION)
