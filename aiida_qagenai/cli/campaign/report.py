"""The end of a campaign: a table of the best candidates, two pictures, and what to try next."""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.plotting import new_figure, save_figure

if t.TYPE_CHECKING:
    import pandas as pd
    from aiida.orm import ProcessNode
    from rich.console import Console

__all__ = ('best_candidates', 'plot_divergence', 'plot_funnel', 'report')

TITLE_NOTE = '\nnot scientific: pipeline level'


def report(node: ProcessNode, folder: Path, console: Console, *, limit: int = 10) -> None:
    """Print how the campaign of ``node`` ended, and write its pictures to ``folder``."""
    from aiida_qagenai.queries.overview import cost_ledger

    console.print()
    status = f'exit status {node.exit_status}' + (f': {node.exit_message}' if node.exit_message else '')
    console.print(f'campaign {node.pk} ended with {status}')
    table = best_candidates(node.pk)
    if table.empty:
        console.print('no candidate was computed')
        return
    print_candidates(table.head(limit), console)
    ledger = cost_ledger(node.pk)
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot, data in (('funnel', plot_funnel, ledger), ('divergence', plot_divergence, table)):
        path = folder / f'{name}.png'
        plot(data, path)
        console.print(f'picture: {path.resolve()}', soft_wrap=True)
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
        'aiida-qagenai candidate list --min-divergence 0.05 --max-e-above-hull 0.1',
        f'aiida-qagenai archive export {node.pk} {node.label or "campaign"}.aiida',
        f'verdi process status {node.pk}',
    ):
        console.print(f'  {command}', soft_wrap=True)


def plot_funnel(ledger: pd.DataFrame, path: Path) -> None:
    """Draw how many candidates of each cycle reached each stage (paper Figure 2).

    :param ledger: rows of the cost ledger with the columns ``cycle`` and ``funnel_<stage>``.
    """
    figure, axes = new_figure(6, 4.5)
    cycles = ledger[ledger['cycle'] > 0]
    stages = [name for name in cycles.columns if name.startswith('funnel_')]
    width = 0.8 / max(1, len(cycles))
    for offset, (_, row) in enumerate(cycles.iterrows()):
        positions = [index + offset * width for index in range(len(stages))]
        bars = axes.bar(positions, [row[stage] for stage in stages], width, label=f'cycle {int(row["cycle"])}')
        axes.bar_label(bars, fmt='%d', fontsize=8)
    axes.set_xticks(
        [index + 0.4 - width / 2 for index in range(len(stages))],
        [stage.removeprefix('funnel_') for stage in stages],
    )
    axes.set(ylabel='candidates', yscale='symlog', title='From generated to computed')
    axes.margins(y=0.2)
    axes.legend(frameon=False)
    save_figure(figure, path)


def plot_divergence(table: pd.DataFrame, path: Path) -> None:
    """Draw the predicted against the computed divergence of the computed candidates (paper Figure 9), eV/atom."""
    figure, axes = new_figure(6, 4.5)
    data = table.dropna(subset=['divergence_computed', 'divergence'])
    for audit, label, marker in ((False, 'selected', 'o'), (True, 'audit', 's')):
        rows = data[data['audit'].astype(bool) == audit]
        axes.scatter(rows['divergence_computed'], rows['divergence'], marker=marker, label=label)
    for row in data.to_dict('records'):
        axes.annotate(
            f'{row["formula"]} {row["name"]}',
            (row['divergence_computed'], row['divergence']),
            fontsize=7,
            xytext=(4, 3),
            textcoords='offset points',
        )
    values = [*data['divergence_computed'], *data['divergence']]
    if values:
        limits = (min(values) * 0.95, max(values) * 1.05)
        axes.plot(limits, limits, color='0.7', linewidth=1, zorder=0)
    top = ' or '.join(sorted(set(data['top_fidelity']))) or Fidelity.CCSD_T.value
    note = '' if (table['note'].fillna('') == '').all() else TITLE_NOTE
    axes.set(
        xlabel=f'computed |E$_f$(PBE) − E$_f$({top})| (eV/atom)',
        ylabel='predicted before (eV/atom)',
        title=f'Divergence of the computed candidates{note}',
    )
    axes.legend(frameon=False)
    save_figure(figure, path)


def _number(value: t.Any) -> str:
    return '–' if value is None or math.isnan(value) else f'{value:.3f}'
