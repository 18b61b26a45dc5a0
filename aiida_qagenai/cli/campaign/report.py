"""The end of a campaign: a table of the best candidates, its page and figures, and what to try next."""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

from aiida_qagenai.common.fidelity import LADDER

if t.TYPE_CHECKING:
    import pandas as pd
    from aiida.orm import ProcessNode
    from rich.console import Console

__all__ = ('best_candidates', 'report')


def report(node: ProcessNode, folder: Path, console: Console, *, limit: int = 10) -> None:
    """Print how the campaign of ``node`` ended, and write its page and figures to ``folder``."""
    from aiida_qagenai.report.page import write_report

    console.print()
    status = f'exit status {node.exit_status}' + (f': {node.exit_message}' if node.exit_message else '')
    console.print(f'campaign {node.pk} ended with {status}')
    table = best_candidates(node.pk)
    if table.empty:
        console.print('no candidate was computed')
        return
    print_candidates(table.head(limit), console)
    folder.mkdir(parents=True, exist_ok=True)
    for written in write_report(node.pk, folder / 'report.html', figures='png'):
        console.print(f'{"page" if written.suffix == ".html" else "picture"}: {written.resolve()}', soft_wrap=True)
    print_next(node, console)


def best_candidates(campaign: int | str) -> pd.DataFrame:
    """Return the generated candidates with a computed divergence, largest first; then those with fewer levels."""
    from aiida_qagenai.queries.candidates import candidates

    table = candidates(campaign, computed=True)
    table = table[table['cycle'] > 0]
    return table.sort_values('divergence_computed', ascending=False, na_position='last', kind='stable')


def print_candidates(table: pd.DataFrame, console: Console) -> None:
    """Print the candidates with formation energies side by side, eV/atom, in a width of 80 columns."""
    from rich import box
    from rich.table import Table

    notes = sorted(set(table['note'].dropna()) - {''})
    tops = ' or '.join(sorted(set(table['top_fidelity'])))
    title = f'Computed candidates by divergence D = |PBE − {tops}| (formation energies, eV/atom)'
    shown = Table(title='\n'.join([title, *notes]), box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ('candidate', 'formula', 'group', *(level.value for level in LADDER), 'D', 'D pred.'):
        shown.add_column(name, justify='left' if name in {'candidate', 'formula'} else 'right', no_wrap=True)
    for row in table.to_dict('records'):
        energies = [_number(row[f'formation_{level.label}']) for level in LADDER]
        divergence = [_number(row['divergence_computed']), _number(row['divergence'])]
        shown.add_row(row['name'], row['formula'], str(row['space_group_number']), *energies, *divergence)
    console.print(shown)
    doubtful = table[table['multireference'].fillna('') != '']
    for row in doubtful.to_dict('records'):
        console.print(f'multireference character of {row["formula"]} {row["name"]}: {row["multireference"]}')


def print_next(node: ProcessNode, console: Console) -> None:
    """Print commands to try."""
    console.print('next:')
    for command in (
        f'aiida-qagenai campaign show {node.pk}',
        f'aiida-qagenai plot hull {node.pk} --output hull.svg',
        'aiida-qagenai candidate list --min-divergence 0.05 --max-e-above-hull 0.1',
        f'aiida-qagenai archive export {node.pk} {node.label or "campaign"}.aiida',
        f'verdi process status {node.pk}',
    ):
        console.print(f'  {command}', soft_wrap=True)


def _number(value: t.Any) -> str:
    return '–' if value is None or math.isnan(value) else f'{value:.3f}'
