"""How campaigns on tables depend on the surrogate, the size of the pool, and what they begin with."""

from __future__ import annotations

import typing as t

import numpy as np
import pool_size
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import CRYSTALS

from paper_parts.items import Table, load, ratio

SURROGATES = {
    'linear': 'linear in the fractions of the elements',
    'chemical': 'Gaussian process on chemistry',
    'latent': 'heads on latent features of the validator',
    'delta-head': 'its Δ heads, corrected by these',
}
CAMPAIGNS = {
    'crystals_measured': {'gga-experiment': 'GGA → experiment, 242'},
    'crystals': {'chgnet-r2scan': 'PBE → r2SCAN by CHGNet, 514', 'sevennet-r2scan': 'PBE → r2SCAN by its teacher, 514'},
}
"""Files of records, and the pools in them with the number of crystals."""

STARTS = {
    'starts gga-experiment': 'GGA → experiment',
    'starts gga-r2scan': 'GGA → r2SCAN',
    'starts gga-r2scan-teacher': 'PBE → r2SCAN by a potential',
}
KINDS = {'random': 'at random', 'diverse': 'unlike each other', 'extremes': 'extreme energies'}
WANTED = {'50': 'half', '80': '80 %'}


def rows_of_pool(title: str, found: dict[str, t.Any]) -> list[list[object]]:
    """Return the rows of a pool in the table of calls by surrogate, the last one what none could be better than.

    :param found: records by surrogate.
    """
    calls = {
        (key, arm): np.array(content['calls']) for key, arms in found.items() for arm, content in arms.items()
    }  # fmt: skip
    usual = calls['chemical', 'hit-probability']
    # neither needs a surrogate
    random, known = (next(calls[each] for each in calls if each[1] == arm) for arm in ('random', 'oracle'))
    rows: list[list[object]] = []
    for key, label in SURROGATES.items():
        mine = calls[key, 'hit-probability']
        means = [f'{calls[key, arm].mean():.0f}' for arm in ('hit-probability', 'divergence', 'hybrid')]
        beside = [ratio(each.value, each[1:]) for each in (ratio_of_calls(random, mine), ratio_of_calls(usual, mine))]
        error = f'{float(np.mean(found[key]["hit-probability"]["mae"])):.3f}'
        rows.append([title, label, *means, beside[0], 'itself' if key == 'chemical' else beside[1], error])
    beside = [ratio(each.value, each[1:]) for each in (ratio_of_calls(random, known), ratio_of_calls(usual, known))]
    rows.append([title, 'the differences known', *3 * (f'{known.mean():.0f}',), *beside, '0'])
    return rows


def surrogates() -> Table:
    """Return the table of calls by surrogate, where crystals are known."""
    rows: list[list[object]] = []
    for name, pools in CAMPAIGNS.items():
        found = load(CRYSTALS.with_name(f'{name}.json'))
        for pair, title in pools.items():
            rows += rows_of_pool(title, {key: found[f'{pair} {key}'] for key in SURROGATES})
    header = (
        'pool', 'surrogate', 'probability of a hit', 'divergence', '0.7 D + 0.3 U', 'times fewer than random',
        'times fewer than with chemistry', 'error left, eV/atom',
    )  # fmt: skip
    note = (
        'Calculations until half of the hits are found, mean of 30 paired campaigns; ratios and errors are those of '
        'the probability of a hit. The validator learned the levels of its teacher, but from no formula of the pools '
        'of 514 crystals. Of the 242 it has seen some at PBE and r2SCAN. It has seen no energy of experiment or CHGNet.'
    )
    return Table(header, rows, note)


def pools() -> Table:
    """Return the table of the shares of pools that are computed."""
    stored, rows = load(pool_size.RECORDS)['sizes'], []
    for name, recall in ((name, recall) for name in pool_size.HITS for recall in pool_size.RECALLS):
        for arm, label in {'divergence': 'divergence', 'oracle': 'the differences known'}.items():
            found = pool_size.growth(stored, name, arm, recall)
            floor = pool_size.least(name, recall)
            value, *interval = (100 * each for each in pool_size.projected(found, floor))
            shares = pool_size.shares(stored, name, arm, recall)
            means = [f'{100 * np.mean([s for each, s in shares if each == size]):.1f}' for size in pool_size.SIZES]
            power = ratio(found.power, (found.lower, found.upper))
            far = ratio(value, (interval[0], interval[1]), 1)
            rows.append([f'{name} %', WANTED[recall], label, f'{100 * floor:.1f}', *means, power, far])
    sizes = [f'{size:,}, %' for size in pool_size.SIZES]
    header = ('hits', 'found', 'choice', 'at least, %', *sizes, 'exponent beyond the least', '100,000, extrapolated, %')
    note = (
        'Share of a pool that is computed until half or 80 % of the hits are found, those 15 % or 2 % of the crystals '
        'with the largest difference between PBE and r2SCAN by a potential. At least as many as are to be found must '
        'be computed. Mean of 100, 40, 20 and 10 campaigns; the exponent is that of the rest, and the last column '
        'holds if it does not change beyond 4,999. The authors promise less than 5 % up to 100,000.'
    )
    return Table(header, t.cast('list[list[object]]', rows), note)


def starts() -> Table:
    """Return the table of calls by what campaigns begin with."""
    stored = load(pool_size.RECORDS)
    rows: list[list[object]] = []
    for kind, label in KINDS.items():
        for number in pool_size.NUMBERS:
            row: list[object] = [label, number]
            for key in STARTS:
                usual, mine = (np.array(stored[key][each]) for each in ('random 10', f'{kind} {number}'))
                found = ratio_of_calls(usual, mine)
                same = f'{mine.mean():.0f}'
                row.append(same if (kind, number) == ('random', 10) else f'{same}, {ratio(found.value, found[1:])}')
            rows.append(row)
    note = (
        'Calculations until half of the hits are found, the initial ones among them, and how many times fewer these '
        'are than from 10 at random: means of 20 paired campaigns on 60 % of each pool, 1,000 at most, by the '
        'probability of a hit.'
    )
    return Table(('begins with', 'compounds', *STARTS.values()), rows, note)
