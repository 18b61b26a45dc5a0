"""Does divergence find more? Campaigns on a table of compounds whose energies are known at two levels.

    python benchmarks/active_learning.py [--pool FILE] [--pairs gga-experiment ...] [--seeds 40] [--store FILE]
    python benchmarks/active_learning.py [--pool FILE] --quick

FILE is a CSV file, which may be compressed, with the columns `formula` and, of each level, the energy of formation in
eV/atom, as `thermochemistry/rxnnet.csv.gz`: `hf_gga_gga_u`, `hf_r2scan`, `hf_ref`. Without it the pool is that of the
repository: crystals labelled by a teacher at PBE and r2SCAN. Of more than 1,000 compounds each campaign has others.
Hits are the 15 % of the compounds with the largest difference between the levels. A campaign begins with 10 compounds
and computes 5 at a time until half of the hits are found. All arms begin with the same compounds and use the same
surrogate of the difference.

`acceleration-over-random` is how many times fewer calls the chosen arm needs than random choice, `-over-best` than the
best other arm with the same surrogate, `-over-best-linear` than the best arm with the linear one, `null-acceleration`
the first one where the differences are dealt out at random, so that it must be 1. Each has a 95 % interval over paired
seeds. `oracle` knows the differences: nothing can be faster. `mae` is the error of the surrogate that a campaign
leaves, `random_mae` that of as many compounds chosen at random; `explored_mae` and `explored_random_mae` are those
after a fifth of all calls went to the most uncertain compounds. `cost` counts atoms of formula units; the knowledge
gradient is per cost. `--store` writes the calls of every campaign.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import PAIRS, TEACHER, Pool, columns_of, read_pool
from active_learning_parts.replay import ARMS, Record, replay
from active_learning_parts.surrogates import SURROGATES

from aiida_qagenai.common.errors import InvalidInputError

CHOSEN, CEILING = 'hit-probability', 'oracle'
SEEDS, QUICK_SEEDS = 40, 3
QUICK_ARMS = ('random', 'divergence', 'divergence-plus-sigma', CHOSEN, CEILING)
ERRORS = ('mae', 'random_mae', 'cost', 'explored_mae', 'explored_random_mae')
"""What is stored of a campaign besides its calls."""

Campaigns = dict[str, list[Record]]


def run(pool: Pool, surrogate: str, arms: t.Sequence[str], seeds: int) -> Campaigns:
    """Return the campaigns of every arm, one per seed."""
    found: Campaigns = {arm: [] for arm in arms}
    for seed in range(seeds):
        drawn = pool.drawn(seed)
        model = SURROGATES[surrogate](drawn)
        for arm, records in found.items():
            records.append(replay(drawn, model, arm, seed))
        print(f'{surrogate}: {seed + 1} of {seeds} seeds', file=sys.stderr, end='\r', flush=True)
    print(file=sys.stderr)
    return found


def columns(records: t.Sequence[Record]) -> dict[str, list[float]]:
    """Return calls and errors of each campaign, to be stored."""
    errors = {name: [round(getattr(record, name), 4) for record in records] for name in ERRORS}
    return {'calls': [record.calls for record in records], **errors}


def write(path: Path, stored: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    """Write what came out, a line for each arm."""
    pools = []
    for pool, arms in stored.items():
        lines = [f'  {json.dumps(arm)}: {json.dumps(content)}' for arm, content in arms.items()]
        pools.append(f' {json.dumps(pool)}: {{\n' + ',\n'.join(lines) + '\n }')
    path.write_text('{\n' + ',\n'.join(pools) + '\n}\n', encoding='utf-8')


def calls(records: t.Sequence[Record]) -> t.Any:
    """Return the calls of each campaign, shape (s,)."""
    return np.array([record.calls for record in records])


def line(name: str, arm: str, fast: Campaigns, reference: str, slow: Campaigns | None = None) -> None:
    """Print the ratio of the calls of two arms as a line of JSON, with its interval."""
    found = ratio_of_calls(calls((slow or fast)[reference]), calls(fast[arm]))
    content = {'name': name, **found._asdict(), 'unit': '1', 'arm': arm, 'reference': reference}
    print(json.dumps({**content, 'reference_value': 1.0, 'ratio': found.value}), flush=True)


def report(pair: str, surrogate: str, campaigns: Campaigns) -> None:
    """Print the figures of one pool and one surrogate."""
    where = f'{pair}-{surrogate}'
    base = float(calls(campaigns['random']).mean())
    for arm, records in campaigns.items():
        mean = float(calls(records).mean())
        content = {
            'name': f'{where}-{arm}-calls',
            'value': mean,
            'unit': 'calls',
            'reference': 'random',
            'reference_value': base,
            'mae': float(np.mean([record.mae for record in records])),
            'random_mae': float(np.mean([record.random_mae for record in records])),
            'coverage': float(np.mean([record.coverage for record in records])),
            'cost': float(np.mean([record.cost for record in records])),
            'explored_mae': float(np.mean([record.explored_mae for record in records])),
            'explored_random_mae': float(np.mean([record.explored_random_mae for record in records])),
        }
        print(json.dumps({**content, 'ratio': mean / base}), flush=True)
        if arm not in ('random', CEILING):
            line(f'{where}-{arm}-acceleration-over-random', arm, campaigns, 'random')


def conclude(pair: str, by_surrogate: dict[str, Campaigns]) -> None:
    """Print what the package chooses on one pool against random choice, the best other arm and plain divergence."""
    for surrogate, campaigns in by_surrogate.items():
        where = f'{pair}-{surrogate}'
        others = [arm for arm in campaigns if arm not in (CHOSEN, CEILING)]
        best = min(others, key=lambda arm: calls(campaigns[arm]).mean())
        line(f'{where}-acceleration-over-random', CHOSEN, campaigns, 'random')
        line(f'{where}-acceleration-over-best', CHOSEN, campaigns, best)
        if CEILING in campaigns:
            line(f'{where}-ceiling-over-random', CEILING, campaigns, 'random')
    if {'linear', 'chemical'} <= by_surrogate.keys():
        linear = by_surrogate['linear']
        best = min((arm for arm in linear if arm != CEILING), key=lambda arm: calls(linear[arm]).mean())
        line(f'{pair}-acceleration-over-best-linear', CHOSEN, by_surrogate['chemical'], best, linear)


def null(pool: Pool, pair: str, surrogate: str, seeds: int) -> None:
    """Print the acceleration where there is nothing to learn: every campaign has differences dealt out anew."""
    found: Campaigns = {'random': [], CHOSEN: []}
    for seed in range(seeds):
        permuted = pool.drawn(seed).permuted(seed)
        model = SURROGATES[surrogate](permuted)
        for arm, records in found.items():
            records.append(replay(permuted, model, arm, seed))
    line(f'{pair}-{surrogate}-null-acceleration', CHOSEN, found, 'random')


def present(path: Path) -> list[str]:
    """Return the pairs of levels that a table has energies of.

    :raises InvalidInputError: if there is none.
    """
    columns = columns_of(path)
    found = [pair for pair, levels in PAIRS.items() if set(levels) <= columns]
    if not found:
        raise InvalidInputError(f'{path} has no two of the columns {", ".join(sorted(set().union(*PAIRS.values())))}')
    return found[:2]


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pool', type=Path, default=TEACHER, help='table of compounds; that of the teacher by default')
    parser.add_argument('--pairs', nargs='+', choices=PAIRS, help='lower and higher level; those that the table has')
    parser.add_argument('--surrogates', nargs='+', choices=SURROGATES, default=list(SURROGATES))
    parser.add_argument('--arms', nargs='+', choices=ARMS, help='besides random and the chosen one; all by default')
    parser.add_argument('--seeds', type=int, default=SEEDS, help='campaigns of each arm')
    parser.add_argument('--store', type=Path, metavar='FILE', help='write the calls of every campaign')
    parser.add_argument('--quick', action='store_true', help='few seeds and arms')
    arguments = parser.parse_args()
    named = arguments.arms or (QUICK_ARMS if arguments.quick else ARMS)
    arms = tuple(dict.fromkeys(('random', CHOSEN, *named)))
    seeds, stored = QUICK_SEEDS if arguments.quick else arguments.seeds, {}
    try:
        pools = {pair: read_pool(arguments.pool, *PAIRS[pair]) for pair in arguments.pairs or present(arguments.pool)}
    except InvalidInputError as refusal:
        parser.error(str(refusal))
    for pair, pool in pools.items():
        found: dict[str, Campaigns] = {}
        for surrogate in arguments.surrogates:
            found[surrogate] = run(pool, surrogate, arms, seeds)
            report(pair, surrogate, found[surrogate])
            null(pool, pair, surrogate, max(3, seeds // 2))
            stored[f'{pair} {surrogate}'] = {arm: columns(records) for arm, records in found[surrogate].items()}
            if arguments.store:
                write(arguments.store, stored)
        conclude(pair, found)


if __name__ == '__main__':
    main()
