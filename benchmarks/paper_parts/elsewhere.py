"""The other test sets of `closed_loop.py`, and other limits in the main one."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from closed_loop_parts import analysis

from paper_parts.items import Table, percent
from paper_parts.loop import MAIN, NAMES, results


def counted(runs: Sequence[dict[str, t.Any]] | None, place: int) -> str | None:
    """Return a share in per cent with the raw counts, None where a set was not made."""
    if runs is None:
        return None
    hits, asked = analysis.rate(runs, place)
    return f'{percent(hits / asked, None, 0)} ({hits}/{asked})'


def other_sets() -> Table:
    """Return hit rates in the standard and the prospective set, and what lies within other limits in the main one."""
    runs = results()['runs']
    rows: list[list[object]] = []
    for arm in analysis.ARMS:
        for kind, words in (('alone', 'its own order'), ('loop', 'with the loop')):
            found = [counted(runs.get(f'{name} {arm}-{kind}'), analysis.HIGH) for name in ('standard', 'prospective')]
            main = [counted(runs.get(f'{MAIN} {arm}-{kind}'), place) for place in (analysis.CLOSE, analysis.STABLE)]
            rows.append([f'{NAMES[arm]}, {words}', *found, *main])
    note = (
        'At r2SCAN by the evaluator. Four systems in each of the first two sets, two in a run; the plan compares '
        'nothing in them. On the hull is what lies at most 0.005 eV/atom above it.'
    )
    header = ('generator', 'standard: hits, %', 'prospective: hits, %', 'high divergence: within 0.1 eV/atom, %',
              'high divergence: on the hull, %')  # fmt: skip
    return Table(header, rows, note)
