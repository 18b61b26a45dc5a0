"""Does divergence find more? Campaigns on a table of compounds whose energies are known at two levels.

    python benchmarks/active_learning.py --pool FILE [--pairs gga-experiment ...] [--seeds 40] [--store FILE]
    python benchmarks/active_learning.py --pool FILE --quick

FILE is a CSV file, which may be compressed, with the columns `formula` and, of each level, the energy of formation in
eV/atom, as `thermochemistry/rxnnet.csv.gz`: `hf_gga_gga_u`, `hf_r2scan`, `hf_ref`. Hits are the 15 % of the compounds
with the largest difference between the levels. A campaign begins with 10 compounds and computes 5 at a time until half
of the hits are found. All arms begin with the same compounds and use the same surrogate of the difference.

`acceleration-over-random` is how many times fewer calls an arm needs than random choice, `acceleration-over-best` than
the best other arm, `null-acceleration` the first one where the differences are dealt out at random, so that it must be
1. Each has a 95 % interval over paired seeds. `oracle` knows the differences: nothing can be faster. `--store` writes
the calls of every campaign.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import PAIRS, Pool, read_pool
from active_learning_parts.replay import ARMS, Record, replay
from active_learning_parts.surrogates import SURROGATES

from aiida_qagenai.common.errors import InvalidInputError

CHOSEN, CEILING = 'hit-probability', 'oracle'
SEEDS, QUICK_SEEDS = 40, 3
QUICK_ARMS = ('random', 'divergence', 'divergence-plus-sigma', CHOSEN, CEILING)
Campaigns = dict[str, list[Record]]


def run(pool: Pool, surrogate: str, arms: t.Sequence[str], seeds: int) -> Campaigns:
    """Return the campaigns of every arm, one per seed."""
    model = SURROGATES[surrogate](pool)
    found: Campaigns = {}
    for arm in arms:
        found[arm] = [replay(pool, model, arm, seed) for seed in range(seeds)]
        print(f'{surrogate} {arm}: {np.mean(calls(found[arm])):.1f} calls', file=sys.stderr, flush=True)
    return found


def calls(records: t.Sequence[Record]) -> t.Any:
    """Return the calls of each campaign, shape (s,)."""
    return np.array([record.calls for record in records])


def line(name: str, arm: str, reference: str, campaigns: Campaigns) -> None:
    """Print the ratio of the calls of two arms as a line of JSON, with its interval."""
    found = ratio_of_calls(calls(campaigns[reference]), calls(campaigns[arm]))
    content = {'name': name, **found._asdict(), 'unit': '1', 'arm': arm, 'reference': reference}
    print(json.dumps({**content, 'reference_value': 1.0, 'ratio': found.value}), flush=True)


def report(pair: str, surrogate: str, campaigns: Campaigns) -> None:
    """Print the figures of one pool and one surrogate."""
    where = f'{pair}-{surrogate}'
    for arm, records in campaigns.items():
        mean, base = float(calls(records).mean()), float(calls(campaigns['random']).mean())
        content = {
            'name': f'{where}-{arm}-calls',
            'value': mean,
            'unit': 'calls',
            'reference': 'random',
            'reference_value': base,
            'mae': float(np.mean([record.mae for record in records])),
            'coverage': float(np.mean([record.coverage for record in records])),
        }
        print(json.dumps({**content, 'ratio': mean / base}), flush=True)
        if arm not in ('random', CEILING):
            line(f'{where}-{arm}-acceleration-over-random', arm, 'random', campaigns)
    others = [arm for arm in campaigns if arm not in (CHOSEN, CEILING)]
    best = min(others, key=lambda arm: calls(campaigns[arm]).mean())
    if CHOSEN in campaigns:
        line(f'{where}-acceleration-over-random', CHOSEN, 'random', campaigns)
        line(f'{where}-acceleration-over-best', CHOSEN, best, campaigns)


def null(pool: Pool, pair: str, surrogate: str, seeds: int) -> None:
    """Print the acceleration where there is nothing to learn: every campaign has differences dealt out anew."""
    found: Campaigns = {'random': [], CHOSEN: []}
    for seed in range(seeds):
        permuted = pool.permuted(seed)
        model = SURROGATES[surrogate](permuted)
        for arm, records in found.items():
            records.append(replay(permuted, model, arm, seed))
    line(f'{pair}-{surrogate}-null-acceleration', CHOSEN, 'random', found)


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pool', type=Path, help='table of compounds')
    parser.add_argument('--pairs', nargs='+', choices=PAIRS, default=list(PAIRS)[:2], help='lower and higher level')
    parser.add_argument('--surrogates', nargs='+', choices=SURROGATES, default=list(SURROGATES))
    parser.add_argument('--arms', nargs='+', choices=ARMS, help='besides random; all by default')
    parser.add_argument('--seeds', type=int, default=SEEDS, help='campaigns of each arm')
    parser.add_argument('--store', type=Path, metavar='FILE', help='write the calls of every campaign')
    parser.add_argument('--quick', action='store_true', help='few seeds and arms')
    arguments = parser.parse_args()
    if arguments.pool is None:
        parser.error('name a table with --pool')
    arms = tuple(dict.fromkeys(('random', *(arguments.arms or (QUICK_ARMS if arguments.quick else ARMS)))))
    seeds, stored = QUICK_SEEDS if arguments.quick else arguments.seeds, {}
    for pair in arguments.pairs:
        try:
            pool = read_pool(arguments.pool, *PAIRS[pair])
        except InvalidInputError as refusal:
            parser.error(str(refusal))
        for surrogate in arguments.surrogates:
            campaigns = run(pool, surrogate, arms, seeds)
            report(pair, surrogate, campaigns)
            null(pool, pair, surrogate, max(3, seeds // 2))
            stored[f'{pair} {surrogate}'] = {arm: [each.as_json() for each in campaigns[arm]] for arm in arms}
            if arguments.store:
                arguments.store.write_text(json.dumps(stored, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
