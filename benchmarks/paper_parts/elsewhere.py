"""The other test sets of `closed_loop.py`, other limits in the main one, and other rules to choose."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from closed_loop_parts import analysis

from paper_parts.items import Table, percent, ratio
from paper_parts.loop import MAIN, NAMES, OURS, interval, results

RULES = {
    '': 'probability of a large divergence (the loop)',
    'random': 'random',
    'low-fidelity': 'rank at PBE',
    'uncertainty': 'σ',
    'diversity': 'U',
    'divergence': 'D',
    'divergence-relative': 'D, relative',
    'divergence-signed': 'D, signed',
    'divergence-plus-sigma': 'D + σ',
    'hybrid': '0.7 D + 0.3 U',
    'expected-improvement': 'expected improvement',
    'knowledge-gradient': 'knowledge gradient',
    'oracle': 'D known before (the ceiling of D)',
}


def counted(runs: Sequence[dict[str, t.Any]] | None, place: int) -> str | None:
    """Return a share in per cent with the raw counts, None where a set was not made."""
    if runs is None:
        return None
    hits, asked = analysis.rate(runs, place)
    return f'{percent(hits / asked, None, 0)} ({hits}/{asked})'


def other_sets() -> Table:
    """Return hit rates in the standard and the prospective set, and what lies within other limits in the main one."""
    runs = results()['runs']
    ours = runs[f'{MAIN} {OURS}-loop']
    rows: list[list[object]] = []
    for arm in analysis.ARMS:
        for kind, words in (('alone', 'its own order'), ('loop', 'with the loop')):
            found = [counted(runs.get(f'{name} {arm}-{kind}'), analysis.HIGH) for name in ('standard', 'prospective')]
            main = [counted(runs.get(f'{MAIN} {arm}-{kind}'), place) for place in (analysis.CLOSE, analysis.STABLE)]
            row = [f'{NAMES[arm]}, {words}', *found, *main, None]
            if mine := runs.get(f'{MAIN} {arm}-{kind}'):
                times = analysis.over_systems(ours, mine, analysis.STABLE)
                row[-1] = 'itself' if mine is ours else ratio(times.value, interval(times)).replace('inf', '∞')
            rows.append(row)
    note = (
        'At r2SCAN by the evaluator. Four systems in the standard set and three in the prospective one, two in a run; '
        'the plan compares nothing in them. On the hull is what lies at most 0.005 eV/atom above it.'
    )
    header = ('generator', 'standard: hits, %', 'prospective: hits, %', 'high divergence: within 0.1 eV/atom, %',
              'high divergence: on the hull, %', 'on the hull: the loop, times as many')  # fmt: skip
    return Table(header, rows, note)


def acquisitions() -> Table:
    """Return hit rates of the package with the loop by the rule that chooses what is computed."""
    runs, rows = results()['runs'], []
    ours = runs[f'{MAIN} {OURS}-loop']
    for name in ('', *analysis.ACQUISITIONS):
        mine = runs[f'{MAIN} {OURS}-loop{"-" * bool(name)}{name}']
        found, times = analysis.over_systems(mine), analysis.over_systems(ours, mine)
        calls = [sum(row[key] for row in mine) for key in ('call_hits', 'calls')]
        rows.append([
            RULES[name], percent(found.value, interval(found), 0), '/'.join(map(str, analysis.rate(mine))),
            f'{calls[0]}/{calls[1]}', ratio(times.value, interval(times)).replace('inf', '∞') if name else 'itself',
        ])  # fmt: skip
    note = (
        'The package with all parts of the loop in the high-divergence set; at r2SCAN by the evaluator, the '
        'calculations by the oracle. The plan compares nothing here.'
    )
    header = ('rule', 'hits at r2SCAN, %', 'raw counts', 'hits among what was computed', 'the loop, times as many')
    return Table(header, rows, note)
