"""Tables and figures of the long campaigns and of the runs of `closed_loop.py`: when to stop, how far runs differ."""

from __future__ import annotations

import typing as t

import numpy as np
from closed_loop_parts import analysis

from aiida_qagenai.common.plotting import BLUE, new_figure
from aiida_qagenai.selection.replay import PAPER_RULES, empty_cycles_sensitivity, replay
from aiida_qagenai.selection.stopping import CycleRecord
from paper_parts.items import Table
from paper_parts.loop import MAIN, OURS, results
from paper_parts.stored import seeds

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure


def histories() -> list[list[CycleRecord]]:
    """Return the cycles of the long campaigns."""
    return [[CycleRecord(*cycle) for cycle in row['cycles']] for row in results()['long']]


def stopping() -> Table:
    """Return the table of Figure 10: what each rule would have made of the long campaigns."""
    paper = {'A': '0.35', 'B': '0.38', 'C': '0.42'}
    rows = []
    for name, rule in PAPER_RULES.items():
        found = [replay(name, rule, history) for history in histories() if history]
        calls, hits = (sum(getattr(each, field) for each in found) for field in ('calls', 'hits'))
        known = next((value for key, value in paper.items() if name.startswith(key)), 'none')
        rows.append([name, known, hits / max(1, calls), f'{hits}/{calls}', sum(each.stops for each in found)])
    changes = [change for history in histories() if (change := empty_cycles_sensitivity(history)) is not None]
    note = (
        f'Over {len(histories())} campaigns of up to ten cycles. With N = 2 or 4 in place of 3 the efficiency of rule '
        f'C changes by at most {100 * max(changes, default=0):.0f} % (paper: less than 8 %).'
    )
    return Table(('rule', 'paper: efficiency', 'ours: hits per call', 'raw counts', 'campaigns it ends'), rows, note)


def draw_stopping() -> Figure:
    """Draw hits over calls of the long campaigns."""
    figure, axes = new_figure(4.6, 2.8)
    for history in histories():
        calls = np.cumsum([0, *(cycle.num_computed for cycle in history)])
        axes.plot(calls, np.cumsum([0, *(cycle.num_hits for cycle in history)]), color=BLUE, alpha=0.4, lw=1)
    axes.set(xlabel='calculations', ylabel='hits')
    return figure


def sensitivity() -> Table:
    """Return Table 14: variation between runs."""
    hits = np.array([analysis.rate([row])[0] for row in results()['runs'][f'{MAIN} {OURS}-loop']], dtype=float)
    variation = 100 * float(hits.std(ddof=1) / hits.mean()) if hits.mean() else None
    rows = [*seeds(), ['full pipeline', '6.4 (hit rate)', variation and f'{variation:.3g} (hit rate)', len(hits)]]
    note = 'Runs of the full pipeline differ in their chemical systems, half of which any two of them share on average.'
    return Table(('component', 'paper: coefficient of variation, %', 'ours, %', 'runs'), rows, note)
