"""`aiida-qagenai dataset merge|why|export`: several databases as one."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.params import FILE, FORMAT, NODE, OUTPUT

__all__ = ('export', 'merge', 'why')

COLUMNS = {
    'database': 'database',
    'entries': 'entries',
    'representatives': 'represent',
    'shared': 'shared',
    'duplicates': 'repeated',
    'discarded': 'left out',
}

MERGE = click.option('--merge', metavar=NODE, help='Process of the merge; the latest by default.')


@click.command()
@click.argument('databases', nargs=-1, required=True, metavar='DATABASE/VERSION...')
@click.option('--rules', type=FILE, help='YAML file with rules.')
@click.option('--workers', type=click.IntRange(min=0), help='Number of processes; by default one per core, up to 4.')
@FORMAT
def merge(databases: tuple[str, ...], rules: Path | None, workers: int | None, fmt: str) -> None:
    """Merge databases into materials.

    Entries of the same formula, symmetry and lattice are one material.

    Represented: entries that stand for a material. Shared: entries of materials that another database has too. Left
    out: entries whose lattice differs by more than the tolerance. Merging the same again adds nothing.
    """
    from aiida_qagenai.databases.merge.process import load_merge, merge_databases, report_table, select_databases
    from aiida_qagenai.databases.merge.rules import read_rules

    process, repeated = merge_databases(
        select_databases(databases),
        None if rules is None else read_rules(rules),
        workers=min(4, os.cpu_count() or 1) if workers is None else workers,
    )
    _, report = load_merge(process)
    overlaps = ', '.join(f'{count} in {name}' for name, count in report['overlaps'].items())
    flags = ', '.join(f'{count} {name}' for name, count in report['flags'].items()) or 'none'
    footer = (
        f'{report["entries"]} entries are {report["materials"]} materials: {overlaps}\n'
        f'flags: {flags}; {report["conflicts"]} conflicting properties; process {process.pk}'
        f'{", which ran before" if repeated else ""}\n'
        f'`aiida-qagenai dataset why ID` explains one material or entry.'
    )
    print_frame(report_table(report), fmt, COLUMNS, footer=footer)


@click.command()
@click.argument('identifier')
@MERGE
@click.option('--json', 'as_json', is_flag=True, help='Print the stored record as JSON.')
def why(identifier: str, merge: str | None, *, as_json: bool) -> None:
    """Explain how a material was merged.

    Shows which entries were merged, which one represents the material, and which value was taken.
    """
    from aiida_qagenai.databases.merge.materials import explain_material
    from aiida_qagenai.databases.merge.process import find_material

    material, left_out = find_material(identifier, load_merge_process(merge))
    if as_json:
        click.echo(json.dumps(material.model_dump(mode='json'), indent=2))
        return
    if left_out:
        click.echo(f'{identifier} has the formula and symmetry of this material, but another lattice:')
    for line in explain_material(material):
        click.echo(line)


@click.command()
@click.argument('file', type=OUTPUT)
@MERGE
@click.option('--schema', is_flag=True, help='Write the JSON schema of the format instead.')
def export(file: Path, merge: str | None, *, schema: bool) -> None:
    """Write a merge to a JSON FILE.

    The file holds materials, structures, origins and decisions.
    """
    from aiida_qagenai.databases.merge.process import MERGE_SCHEMA, MergeExport, export_merge

    if schema:
        draft = {'$schema': 'https://json-schema.org/draft/2020-12/schema', '$id': MERGE_SCHEMA}
        content = {**draft, **MergeExport.model_json_schema(by_alias=True)}
        file.write_text(json.dumps(content, indent=2) + '\n', encoding='utf8')
        click.echo(f'{file}: schema {MERGE_SCHEMA}')
        return
    number = export_merge(file, load_merge_process(merge))
    click.echo(f'{file}: {number} materials, {file.stat().st_size / 1e6:.1f} MB')


def load_merge_process(identifier: str | None) -> t.Any:
    """Return the process of a merge with that label, pk or uuid, or None."""
    return None if identifier is None else load_process(identifier, 'merge_entries')
