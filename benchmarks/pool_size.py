"""How much of a pool must be computed, and does it matter what a campaign begins with? Campaigns on tables.

    python benchmarks/pool_size.py [--pool FILE] [--store]
    python benchmarks/pool_size.py --only starts --pool FILE [--store]
    python benchmarks/pool_size.py --quick

`sizes` draws pools of several sizes from the crystals that a teacher labelled at PBE and r2SCAN
(`active_learning_parts/teacher.csv.gz`), the largest being all of them. Hits are the 15 % or the 2 % with the largest
difference. `share-HITS-RECALL-ARM-SIZE` is the share of the pool that is computed until half or 80 % of the hits are
found, the mean over campaigns that begin with 10 compounds and compute 5 at a time; the surrogate is that on chemistry.
As many hits as are wanted must be computed, whatever chooses: `least-…` is their share. `exponent-…` is the power with
which what is beyond it grows with the pool, by least squares of the logarithms with the interval of 95 %, and
`projected-…` the share of 100,000 compounds by both: an extrapolation.

`starts` begins campaigns with other compounds, in pools that are 60 % of all, 1,000 at most: at random, unlike each
other (the acquisition `diversity` of the package after one at random), or with the lowest and the highest energies at
the lower level in turn. `start-PAIR-KIND-NUMBER` are the calls until half of the hits are found, the initial ones among
them, and how many times fewer these are than from 10 at random, over paired seeds.

`--store` writes the calls of all campaigns. `--quick` reads these, and repeats a few of the smallest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from active_learning_parts.growth import Power, power_of
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import MOST, PAIRS, TEACHER, Pool, present, read_pool
from active_learning_parts.replay import INITIAL, search
from active_learning_parts.starts import KINDS, start
from active_learning_parts.surrogates import Steady, chemical
from numpy.typing import NDArray

RECORDS = Path(__file__).parent / 'records' / 'pool_size.json'
SIZES = {300: 100, 1000: 40, 3000: 20, 4999: 10}
"""Compounds of a pool, and its campaigns."""

HITS = {'15': 0.15, '2': 0.02}
RECALLS = {'50': 0.5, '80': 0.8}
ARMS = ('random', 'divergence', 'oracle')
PROJECTED = 100_000
NUMBERS, STARTS, PART = (5, 10, 20, 40), 20, 0.6
"""Compounds that campaigns begin with, campaigns of each kind, and the share of a pool that each has."""

Records = dict[str, t.Any]


def calls_to(pool: Pool, arm: str, seed: int, share: float) -> list[int]:
    """Return the calls until each of ``RECALLS`` of the hits is found."""
    size = np.abs(pool.difference)
    hits = size > np.quantile(size, 1 - share)
    wanted = [int(np.ceil(recall * hits.sum())) for recall in RECALLS.values()]
    initial = np.random.default_rng([seed, 1]).permutation(len(pool))[:INITIAL]
    found = np.cumsum(hits[search(pool, Steady(pool), arm, seed, hits=hits, wanted=wanted[-1], initial=initial)])
    return [int(np.argmax(found >= number)) + 1 for number in wanted]


def by_size(pool: Pool, sizes: t.Mapping[int, int], stored: Records, save: t.Callable[[], None]) -> None:
    """Run the campaigns that are not stored yet."""
    for (size, seeds), (name, share), arm in itertools.product(sizes.items(), HITS.items(), ARMS):
        place = stored.setdefault(f'{name} {arm}', {})
        if str(size) not in place and size <= len(pool):
            rows = [calls_to(pool.drawn(seed, size), arm, seed, share) for seed in range(seeds)]
            place[str(size)] = [list(each) for each in zip(*rows, strict=True)]
            print(f'{size} compounds, {name} %, {arm}', file=sys.stderr)
            save()


def by_start(pool: Pool, seeds: int, stored: Records, save: t.Callable[[], None]) -> None:
    """Run the campaigns of each kind of initial compounds that are not stored yet."""
    for kind, number in itertools.product(KINDS, NUMBERS):
        if f'{kind} {number}' not in stored:
            found = []
            for seed in range(seeds):
                part = pool.drawn(seed, min(MOST, round(PART * len(pool))))
                hits = part.hits
                wanted = int(np.ceil(0.5 * hits.sum()))
                model, initial = chemical(part), start(part, kind, number, seed)
                computed = search(part, model, 'hit-probability', seed, hits=hits, wanted=wanted, initial=initial)
                found.append(int(np.argmax(np.cumsum(hits[computed]) >= wanted)) + 1)
            stored[f'{kind} {number}'] = found
            print(f'{kind}, {number} compounds', file=sys.stderr)
            save()


def shares(stored: Records, name: str, arm: str, recall: str) -> list[tuple[int, float]]:
    """Return the size of the pool and the share that was computed of every campaign."""
    column = list(RECALLS).index(recall)
    return [(int(size), calls / int(size)) for size, rows in stored[f'{name} {arm}'].items() for calls in rows[column]]


def figure(name: str, value: float, unit: str, **more: t.Any) -> None:
    """Print a figure as a line of JSON."""
    print(json.dumps({'name': name, 'value': value, 'unit': unit, **more}), flush=True)


def least(name: str, recall: str) -> float:
    """Return the share of a pool that the hits that are wanted are: fewer calls are not possible."""
    return HITS[name] * RECALLS[recall]


def growth(stored: Records, name: str, arm: str, recall: str) -> Power:
    """Return how the share beyond the least grows with the pool; half a call stands for none."""
    floor = least(name, recall)
    rows = shares(stored, name, arm, recall)
    return power_of([(size, max(share - floor, 0.5 / size)) for size, share in rows])


def projected(found: Power, floor: float) -> tuple[float, float, float]:
    """Return the share of the largest pool with its interval, an extrapolation."""
    value, lower, upper = (floor + each for each in found.at(PROJECTED))
    return value, lower, upper


def report_sizes(stored: Records) -> None:
    """Print shares, exponents and what they say of larger pools."""
    for name, recall, arm in itertools.product(HITS, RECALLS, ARMS):
        rows, where = shares(stored, name, arm, recall), f'{name}-{recall}-{arm}'
        sizes = sorted({size for size, _ in rows})
        for size in sizes:
            mine = [share for each, share in rows if each == size]
            figure(f'share-{where}-{size}', float(np.mean(mine)), '1', campaigns=len(mine), least=least(name, recall))
        if arm != 'random' and len(sizes) > 2:
            found = growth(stored, name, arm, recall)
            figure(f'exponent-{where}', found.power, '1', lower=found.lower, upper=found.upper)
            value, lower, upper = projected(found, least(name, recall))
            figure(f'projected-{where}', value, '1', lower=lower, upper=upper, extrapolated_to=PROJECTED)


def report_starts(pair: str, stored: Records) -> None:
    """Print the calls from every start beside those from as many as usual at random."""
    usual = np.array(stored[f'random {INITIAL}'])
    for kind, calls in stored.items():
        found = ratio_of_calls(usual, np.array(calls))
        more = {'times_fewer': found.value, 'lower': found.lower, 'upper': found.upper, 'campaigns': len(calls)}
        figure(f'start-{pair}-{kind.replace(" ", "-")}', float(np.mean(calls)), 'calls', **more)


def write(content: Records) -> None:
    """Write all records, a line for each arm."""
    groups = []
    for name, found in content.items():
        lines = [f'  {json.dumps(key)}: {json.dumps(rows)}' for key, rows in found.items()]
        groups.append(f' {json.dumps(name)}: {{\n' + ',\n'.join(lines) + '\n }')
    RECORDS.write_text('{\n' + ',\n'.join(groups) + '\n}\n', encoding='utf-8')


def read() -> Records:
    """Return all records."""
    return t.cast('Records', json.loads(RECORDS.read_text(encoding='utf-8'))) if RECORDS.exists() else {}


def repeated() -> None:
    """Repeat the first campaigns of the smallest pools, and print whether they are those of the records."""
    stored, pool = read()['sizes'], read_pool(TEACHER, *PAIRS['gga-r2scan'])
    size = min(SIZES)
    for name, share in HITS.items():
        again: NDArray[np.int64] = np.array([calls_to(pool.drawn(0, size), arm, 0, share) for arm in ARMS])
        same = [[column[0] for column in stored[f'{name} {arm}'][str(size)]] for arm in ARMS]
        figure(f'repeated-{name}', float(np.array_equal(again, same)), '1 if the same')


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pool', type=Path, default=TEACHER, help='table of compounds; that of the teacher by default')
    parser.add_argument('--only', choices=('sizes', 'starts'), help='one of the two parts')
    parser.add_argument(
        '--store', action='store_true', help='write the calls of all campaigns, and leave out stored ones'
    )
    parser.add_argument('--quick', action='store_true', help='read the records, and repeat a few campaigns')
    arguments = parser.parse_args()
    content = read() if arguments.quick or arguments.store else {}

    def save() -> None:
        if arguments.store:
            write(content)

    if arguments.quick:
        repeated()
    else:
        for pair in present(arguments.pool):
            pool = read_pool(arguments.pool, *PAIRS[pair])
            if arguments.only != 'starts' and arguments.pool == TEACHER:
                by_size(pool, SIZES, content.setdefault('sizes', {}), save)
            if arguments.only != 'sizes':
                key = f'{pair}-teacher' if arguments.pool == TEACHER else pair
                by_start(pool, STARTS, content.setdefault(f'starts {key}', {}), save)
    for name, found in content.items():
        if name == 'sizes':
            report_sizes(found)
        else:
            report_starts(name.split()[1], found)


if __name__ == '__main__':
    main()
