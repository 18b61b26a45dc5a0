"""`aiida-qagenai screen`: physical constraints on structures in plain files."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.output import FORMAT, print_frame

__all__ = ('screen',)

STAGES = ('generation', 'validation', 'final')


@click.command()
@click.argument('files', nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option('--stage', type=click.Choice(STAGES), default='final', show_default=True, help='Whose constraints apply.')
@click.option('--json', 'as_json', is_flag=True, help='The same as --format json.')
@click.option('--plot-funnel', type=click.Path(path_type=Path), help='Draw how many are left after each constraint.')
@FORMAT
def screen(files: tuple[Path, ...], stage: str, as_json: bool, plot_funnel: Path | None, fmt: str) -> None:
    """Which structures pass the physical constraints, and what fails where.

    Reads CIF, POSCAR, extxyz, JSON of pymatgen, CSV with a column `cif`, and packed NPZ files.
    """
    import pandas as pd

    from aiida_qagenai.chemistry.constraints import Stage
    from aiida_qagenai.chemistry.constraints import screen as apply_constraints
    from aiida_qagenai.chemistry.files import read_structures

    records: list[dict[str, t.Any]] = []
    failures: list[tuple[str, ...]] = []
    names: list[str] = []
    for file in files:
        for name, structure in read_structures(file):
            screening = apply_constraints(structure, stage=t.cast(Stage, stage))
            record = screening.to_dict()
            reason = next((v.reason or v.name for v in screening.verdicts if v.verdict == 'fail'), '')
            formula = structure.composition.reduced_formula
            records.append(
                {'file': str(file), 'name': name, 'formula': formula, 'failed': ', '.join(screening.failed), **record}
                | {'first_reason': reason}
            )
            failures.append(screening.failed)
            names.extend(v.name for v in screening.verdicts if v.name not in names)
    if plot_funnel is not None:
        from aiida_qagenai.thermodynamics.plots import plot_funnel as draw_funnel

        draw_funnel(_funnel(failures, names), plot_funnel)
    if as_json or fmt == 'json':
        click.echo(json.dumps(records, indent=2))
        return
    columns = {'name': 'name', 'formula': 'formula', 'passed': 'passed', 'failed': 'failed', 'first_reason': 'reason'}
    passed = sum(bool(record['passed']) for record in records)
    print_frame(pd.DataFrame(records), fmt, columns, footer=f'{passed} of {len(records)} pass at the stage `{stage}`')


def _funnel(failures: list[tuple[str, ...]], names: list[str]) -> dict[str, int]:
    """Return how many structures are left after each constraint, in the order applied."""
    counts = {'read': len(failures)}
    for position, name in enumerate(names):
        so_far = set(names[: position + 1])
        counts[name.replace('_', ' ')] = sum(so_far.isdisjoint(failed) for failed in failures)
    return counts
