"""Cost and scale: Tables 10 and 15, Figure 12."""

from __future__ import annotations

import typing as t

import numpy as np
import scaling
from closed_loop_parts import analysis, crystals
from closed_loop_parts.loop import FACTORS, MOST

from aiida_qagenai.common.plotting import COLOURS, new_figure
from paper_parts.items import Table, load, ratio
from paper_parts.loop import MAIN, OURS, results

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

CCSD_T_HOURS = (50.0, 500.0)
"""Core hours of CCSD(T) of a structure of 20 atoms by the paper, Table 5."""

COMPONENTS = {
    'generation': (('generate',), 'Generative sampling', '0.8'),
    'constraints and duplicates': (('screen',), 'none', 'none'),
    'relaxation by a potential': (('relax',), 'none', 'none'),
    'predictions': (('predict', 'gaps'), 'Active learning overhead', '16.9'),
    'PBE by the oracle': (('sevennet-pbe',), 'Higher-fidelity (SCAN/HSE)', '7.8'),
    'r2SCAN by the oracle': (('sevennet-r2scan',), 'CCSD(T) validation', '58.7'),
}
"""Steps of the ledger, the paper's component that comes next to it, and its share in per cent."""


def seconds() -> dict[str, float]:
    """Return processor seconds of each component for candidates of the package in the high-divergence set."""
    stored = load(crystals.RECORDS)['timings'][f'{MAIN} {OURS}']
    return {name: round(sum(stored[step] for step in steps), 1) for name, (steps, _, _) in COMPONENTS.items()}


def ledger() -> Table:
    """Return Table 10: what each step costs; the parts sum to the total."""
    spent = seconds()
    total = sum(spent.values())
    rows: list[list[object]] = [
        [name, COMPONENTS[name][1], COMPONENTS[name][2], f'{value:.1f}', f'{100 * value / total:.1f}']
        for name, value in spent.items()
    ]
    rows.append(['total', '', '100', f'{total:.1f}', '100.0'])
    loop, direct = (per_call(active) for active in (True, False))
    overhead = total - spent['r2SCAN by the oracle']
    if loop > direct > 0:
        cheap = spent['r2SCAN by the oracle'] / number_made()
        numbers = [overhead / (cost * (1 / direct - 1 / loop)) for cost in (cheap, *(3600 * h for h in CCSD_T_HOURS))]
        even = (
            f'All else is paid back after {numbers[0]:.3g} hits with this oracle, and after {numbers[1]:.2g} to '
            f'{numbers[2]:.2g} with CCSD(T) of 50 to 500 core hours (extrapolated; paper: about 30 materials).'
        )
    else:
        even = 'Random choice finds as many hits per calculation: what choosing costs is never paid back.'
    note = (
        f'Processor seconds of one core for {number_made()} candidates. Hits per calculation at r2SCAN: {loop:.2f} '
        f'with active choice, {direct:.2f} at random, a factor of {loop / direct:.2f} (paper: 4.8 times fewer '
        f'calculations). {even}'
    )
    header = ('component', "the paper's component", 'paper, %', 'ours, s', 'ours, %')
    return Table(header, rows, note)


def number_made() -> int:
    """Return the candidates of the package that these seconds were spent on."""
    return int(load(crystals.RECORDS)['timings'][f'{MAIN} {OURS}']['candidates'])


def per_call(active: bool) -> float:
    """Return hits per calculation of the package with all parts, chosen actively or at random."""
    wanted = dict.fromkeys(FACTORS, True) | {'active': active}
    rows = [row for row in results()['factorial'] if all(row[name] == value for name, value in wanted.items())]
    return sum(row['call_hits'] for row in rows) / sum(row['asked'] for row in rows)


def times() -> dict[str, list[list[float]]]:
    """Return the stored times."""
    return t.cast('dict[str, list[list[float]]]', load(scaling.RECORDS))


def exponents() -> Table:
    """Return the table of Figure 12: how time grows."""
    units = {'hull': 'phases'}
    rows: list[list[object]] = []
    for name, found in times().items():
        growth = scaling.exponent(found)
        sizes = sorted({int(size) for size, _ in found})
        span = f'{sizes[0]} to {sizes[-1]} {units.get(name, "atoms")}'
        last = float(np.median([time for size, time in found if size == sizes[-1]]))
        rows.append([name.upper() if name.startswith('ccsd') else name, scaling.PAPER[name],
                     ratio(growth.power, (growth.lower, growth.upper)), span, f'{last:.3g}'])  # fmt: skip
    note = (
        'Seconds = start + factor · size^exponent by least squares, intervals of 95 %. CCSD(T) is that of chains of '
        'hydrogen molecules in 6-31G, where the step with the seventh power is not the largest yet. Memory was not '
        'measured.'
    )
    return Table(('step', 'paper', 'ours: exponent', 'over', 'seconds at the largest'), rows, note)


def draw_exponents() -> Figure:
    """Draw seconds over sizes."""
    figure, axes = new_figure(4.6, 2.8)
    for (name, found), colour in zip(times().items(), COLOURS, strict=False):
        growth = scaling.exponent(found)
        sizes = np.array(sorted({size for size, _ in found}))
        axes.plot([size for size, _ in found], [time for _, time in found], '.', color=colour)
        seconds_there = growth.start + growth.factor * sizes**growth.power
        axes.plot(sizes, seconds_there, color=colour, label=f'{name}: {growth.power:.1f}')
    axes.set(xscale='log', yscale='log', xlabel='atoms, or phases of the hull', ylabel='seconds of one core')
    axes.legend(fontsize=7)
    return figure


def projection() -> Table:
    """Return Table 15: core hours for more hits, which nobody ran."""
    spent, loop = seconds(), per_call(True)
    overhead = sum(spent.values()) - spent['r2SCAN by the oracle']
    runs = results()['runs'][f'{MAIN} {OURS}-loop']
    hits, _ = analysis.rate(runs)
    made = MOST * sum(len(row['systems']) for row in runs)
    per_hit = overhead / number_made() * made / max(1, hits)
    paper = {23: '15,000', 100: '48,000', 1000: 'none'}
    rows: list[list[object]] = []
    for number, known in paper.items():
        own = number * per_hit / 3600
        low, high = (own + number / loop * hours for hours in CCSD_T_HOURS)
        rows.append([f'{number} hits', known, f'{own:.2g}', f'{low:.2g} to {high:.2g}'])
    note = (
        'Extrapolated in proportion from the high-divergence set: no such campaign was run. CCSD(T) counts 50 to 500 '
        'core hours for each structure, as the paper has it; it is nearly all of the cost.'
    )
    header = ('campaign', 'paper: GPU hours', 'ours without CCSD(T): core hours', 'with CCSD(T): core hours')
    return Table(header, rows, note)
