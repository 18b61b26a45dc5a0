"""`aiida-qagenai dataset merge|why|export|build|table|suspicious`: several databases as one, and training sets."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FORMAT, LEVEL, NODE, OUTPUT, option

__all__ = ('build', 'export', 'merge', 'suspicious', 'table', 'why')

MERGED = columns('database, entries, representatives: represent, shared, duplicates: repeated, discarded: left out')
CLASSES = columns('class, train, validation, calibration, test, all')
COMPOSITION = columns('fidelity, structures, energies, scientific, sources')
CONTROLS = columns('fidelity, control: quality control, checked, passed, failed, note')
SUSPICIOUS = columns(
    "identifier, level, kind, compared_with: compared with, cooks_distance: Cook's distance, residual, training"
)

MERGE = option('--merge', metavar=NODE, help='Process of the merge; the latest by default.')


@click.command(cls=ProfileCommand)
@click.argument('databases', nargs=-1, required=True, metavar='DATABASE/VERSION...')
@option('--rules', type=FILE, help='YAML file with rules.')
@option('--workers', type=click.IntRange(min=0), help='Number of processes; by default one per core, up to 4.')
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
    print_frame(report_table(report), fmt, MERGED, footer=footer)


@click.command(cls=ProfileCommand)
@click.argument('identifier')
@MERGE
@option('--json', 'as_json', is_flag=True, help='Print the stored record as JSON.')
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


@click.command(cls=ProfileCommand)
@click.argument('file', type=OUTPUT)
@MERGE
@option('--schema', is_flag=True, help='Write the JSON schema of the format instead.')
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


@click.command(cls=ProfileCommand)
@option('--database', 'databases', multiple=True, metavar='DATABASE/VERSION', help='Take all its entries. Repeatable.')
@option('--merge', metavar=NODE, help='Take the representatives of the materials of this merge.')
@option('--campaign', metavar=NODE, help='Take what this campaign computed.')
@option('--level-tag', 'level_tags', multiple=True, help='Only energies with this level tag. Repeatable.')
@option('--level', '--fidelity', 'fidelities', multiple=True, type=LEVEL, help='Only this level of theory. Repeatable.')
@option(
    '--fractions',
    type=(float, float, float, float),
    default=(0.8, 0.05, 0.05, 0.1),
    help='Shares of train, validation, calibration and test.',
)
@option('--seed', default=0, help='Seed of the splits.')
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
    same again adds nothing. The number of structures is printed by class and split. Several `--level-tag` on one rung,
    such as two bases, are levels of their own, of which the last one speaks for the rung.
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
    process, repeated = make_view(selection, fractions=fractions, seed=seed, level_tags=level_tags)
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


@click.command(cls=ProfileCommand)
@option('--controls', is_flag=True, help='Show the quality controls instead of the counts.')
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


@click.command(cls=ProfileCommand)
@option('--campaign', metavar=NODE, help='Only labels of this campaign.')
@FORMAT
def suspicious(campaign: str | None, *, fmt: str) -> None:
    """Show labels that trainings of the validator found suspicious.

    An outlier has a large Cook's distance: its energy minus what all others say of it, the residual in eV/atom, is far
    larger than theirs. It is compared with the energy of the same structure on the level named there, if it has one. A
    doubtful label is of iterations that did not converge, or of a CCSD(T) whose T1 diagnostic is beyond its limit.
    Whether such labels are left out is set by `learn.validator.options.recovery`.
    """
    from aiida_qagenai.queries.quality import suspicious_labels

    rows = suspicious_labels(campaign)
    print_frame(rows, fmt, SUSPICIOUS, footer=f'{len(rows)} labels: look at their calculations')
