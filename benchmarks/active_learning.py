"""Does divergence find more? Campaigns on a table of compounds whose energies are known at two levels.

    python benchmarks/active_learning.py [--pool FILE] [--pairs gga-experiment ...] [--seeds 40] [--store FILE]
    python benchmarks/active_learning.py [--pool FILE] --quick
    python benchmarks/active_learning.py [--pool FILE] --crystals --surrogates latent delta-head [--store FILE]
    python benchmarks/active_learning.py --label --data FOLDER --work FOLDER

FILE is a CSV file, which may be compressed, with the columns `formula` and, of each level, the energy of formation in
eV/atom, as `thermochemistry/rxnnet.csv.gz`: `hf_gga_gga_u`, `hf_r2scan`, `hf_ref`. Without it the pool is that of the
repository: crystals labelled by a teacher at PBE and r2SCAN. Of more than 1,000 compounds each campaign has others.
Hits are the 15 % of the compounds with the largest difference between the levels. A campaign begins with 10 compounds
and computes 5 at a time until half of the hits are found. All arms begin with the same compounds and use the same
surrogate of the difference. The surrogates `cokriging` and `averaged` and the arms `thompson` and `lookahead` were
tried and are no choice of the package. The surrogates `latent` and `delta-head` are heads on what the shipped
validator makes of crystals, the second one around the difference that it expects. With `--crystals` the pool has only
crystals that it sees, known by their `mp_id`; without `--pool` these are crystals of formulas that it was not fitted
to, at the levels of its teacher and of CHGNet (`active_learning_parts/labels.py`, made by `--label`). Pools that have
formulas only are refused.

`acceleration-over-random` is how many times fewer calls the chosen arm needs than random choice, `-over-best` than the
best other arm with the same surrogate, `-over-best-linear` than the best arm with the linear one, `null-acceleration`
the first one where the differences are dealt out at random, so that it must be 1. Each has a 95 % interval over paired
seeds. `oracle` knows the differences: nothing can be faster. `mae` is the error of the surrogate that a campaign
leaves, `random_mae` that of as many compounds chosen at random; `explored_mae` and `explored_random_mae` are those
after a fifth of all calls went to the most uncertain compounds. `cost` counts atoms of formula units; the knowledge
gradient is per cost. `--store` writes the calls of every campaign; with `--add`
arms are run that are missing there, none where none is named, and all that is stored is compared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import typing as t
from pathlib import Path

import numpy as np
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import CRYSTALS, MOST, PAIRS, TEACHER, Pool, Validated, present, read_pool
from active_learning_parts.replay import ARMS, TRIALS, Record, replay
from active_learning_parts.surrogates import OF_CRYSTALS, SURROGATES
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

CHOSEN, CEILING = 'hit-probability', 'oracle'
SEEDS, QUICK_SEEDS, QUICK_MOST = 40, 3, 400
QUICK_ARMS = ('random', 'divergence', 'divergence-plus-sigma', CHOSEN, CEILING)
ERRORS = ('mae', 'random_mae', 'cost', 'explored_mae', 'explored_random_mae')
"""What is stored of a campaign besides its calls."""

Campaigns = dict[str, list[Record]]
Calls = dict[str, NDArray[np.int64]]


def run(pool: Pool, surrogate: str, arms: t.Sequence[str], seeds: int, most: int = MOST) -> Campaigns:
    """Return the campaigns of every arm, one per seed."""
    found: Campaigns = {arm: [] for arm in arms}
    for seed in range(seeds):
        drawn = pool.drawn(seed, most)
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


def calls(campaigns: Campaigns) -> Calls:
    """Return the calls of each campaign of every arm."""
    return {arm: np.array([record.calls for record in records]) for arm, records in campaigns.items()}


def line(name: str, arm: str, fast: Calls, reference: str, slow: Calls | None = None) -> None:
    """Print the ratio of the calls of two arms as a line of JSON, with its interval."""
    found = ratio_of_calls((slow or fast)[reference], fast[arm])
    content = {'name': name, **found._asdict(), 'unit': '1', 'arm': arm, 'reference': reference}
    print(json.dumps({**content, 'reference_value': 1.0, 'ratio': found.value}), flush=True)


def report(pair: str, surrogate: str, campaigns: Campaigns) -> None:
    """Print the figures of one pool and one surrogate."""
    where = f'{pair}-{surrogate}'
    counts = calls(campaigns)
    base = float(counts['random'].mean())
    for arm, records in campaigns.items():
        mean = float(counts[arm].mean())
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
            line(f'{where}-{arm}-acceleration-over-random', arm, counts, 'random')


def conclude(pair: str, by_surrogate: dict[str, Calls]) -> None:
    """Print what the package chooses on one pool against random choice, the best other arm and plain divergence."""
    for surrogate, campaigns in by_surrogate.items():
        where = f'{pair}-{surrogate}'
        line(f'{where}-acceleration-over-random', CHOSEN, campaigns, 'random')
        line(f'{where}-acceleration-over-best', CHOSEN, campaigns, best_other(campaigns))
        if CEILING in campaigns:
            line(f'{where}-ceiling-over-random', CEILING, campaigns, 'random')
    if {'linear', 'chemical'} <= by_surrogate.keys():
        linear = by_surrogate['linear']
        best = min(linear.keys() - {CEILING, *TRIALS}, key=lambda arm: (linear[arm].mean(), arm))
        line(f'{pair}-acceleration-over-best-linear', CHOSEN, by_surrogate['chemical'], best, linear)


def best_other(campaigns: Calls) -> str:
    """Return the arm with the fewest calls besides the chosen one, the ceiling and what was tried."""
    others = campaigns.keys() - {CHOSEN, CEILING, *TRIALS}
    return min(others, key=lambda arm: (campaigns[arm].mean(), arm))


def null(pool: Pool, pair: str, surrogate: str, seeds: int, most: int = MOST) -> None:
    """Print the acceleration where there is nothing to learn: every campaign has differences dealt out anew."""
    found: Campaigns = {'random': [], CHOSEN: []}
    for seed in range(seeds):
        permuted = pool.drawn(seed, most).permuted(seed)
        model = SURROGATES[surrogate](permuted)
        for arm, records in found.items():
            records.append(replay(permuted, model, arm, seed))
    line(f'{pair}-{surrogate}-null-acceleration', CHOSEN, calls(found), 'random')


def add(pools: dict[str, Pool], surrogates: t.Sequence[str], arms: t.Sequence[str], seeds: int, path: Path) -> None:
    """Run arms alone and add their campaigns to those that are stored; compare the calls of all that are stored."""
    stored = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    for pair, pool in pools.items():
        for surrogate in surrogates if arms else ():
            for arm, records in run(pool, surrogate, arms, seeds).items():
                stored.setdefault(f'{pair} {surrogate}', {})[arm] = columns(records)
                write(path, stored)
        known = {
            place.split()[1]: {arm: np.array(content['calls']) for arm, content in found.items()}
            for place, found in stored.items()
            if place.split()[0] == pair
        }
        # random choice needs no surrogate
        first = next(found['random'] for found in known.values() if 'random' in found)
        known = {surrogate: {'random': first, **found} for surrogate, found in known.items()}
        compare(pair, known)
        conclude(pair, {surrogate: found for surrogate, found in known.items() if CHOSEN in found})


def compare(pair: str, known: dict[str, Calls]) -> None:
    """Print how many times fewer calls every stored arm needs than random choice and than divergence."""
    for surrogate, found in known.items():
        for arm, reference in itertools.product(found, ('random', 'divergence')):
            if reference in found.keys() - {arm} and len(found[arm]) == len(found[reference]):
                line(f'{pair}-{surrogate}-{arm}-acceleration-over-{reference}', arm, found, reference)


def refuse_formulas(pools: dict[str, Pool], surrogates: t.Sequence[str]) -> None:
    """Refuse surrogates of crystals where there are formulas only.

    :raises InvalidInputError: if there is one, before anything is run.
    """
    asked = [name for name in surrogates if name in OF_CRYSTALS]
    if asked and any(not pool.latent.shape[1] for pool in pools.values()):
        raise InvalidInputError(
            f'--surrogates {" ".join(asked)} needs crystals, and the pool has formulas only: with --crystals it has '
            'the compounds whose crystals the validator saw'
        )


def make_labels(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Make what surrogates of crystals start from."""
    from active_learning_parts.labels import label

    if not arguments.data:
        parser.error('--label needs --data FOLDER')
    label(arguments.data, arguments.work)


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pool', type=Path, help='table of compounds; one of the repository by default')
    parser.add_argument('--pairs', nargs='+', choices=PAIRS, help='lower and higher level; those that the table has')
    parser.add_argument('--surrogates', nargs='+', choices=SURROGATES, default=['linear', 'chemical'])
    parser.add_argument('--arms', nargs='+', choices=ARMS, help='besides random and the chosen one; all by default')
    parser.add_argument('--seeds', type=int, default=SEEDS, help='campaigns of each arm')
    parser.add_argument('--store', type=Path, metavar='FILE', help='write the calls of every campaign')
    parser.add_argument('--add', nargs='*', choices=ARMS, metavar='ARM', help='run these, or none, and add to FILE')
    parser.add_argument('--crystals', action='store_true', help='only compounds with crystals that the validator saw')
    parser.add_argument('--quick', action='store_true', help='few seeds, arms and compounds')
    parser.add_argument('--label', action='store_true', help='make what surrogates of crystals start from')
    parser.add_argument('--data', type=Path, help='folder with mp/, mpts/, mp_extra/, thermochemistry/, for --label')
    parser.add_argument('--work', type=Path, default=Path('labels'), help='folder in which --label goes on')
    arguments = parser.parse_args()
    if arguments.label:
        make_labels(parser, arguments)
        return
    named = arguments.arms or (QUICK_ARMS if arguments.quick else [arm for arm in ARMS if arm not in TRIALS])
    arms = tuple(dict.fromkeys(('random', CHOSEN, *named)))
    seeds, most, stored = (QUICK_SEEDS, QUICK_MOST, {}) if arguments.quick else (arguments.seeds, MOST, {})
    path = arguments.pool or (CRYSTALS if arguments.crystals else TEACHER)
    try:
        known = Validated.read() if arguments.crystals else None
        pairs = arguments.pairs or present(path)
        pools = {pair: read_pool(path, *PAIRS[pair], known) for pair in pairs}
        refuse_formulas(pools, arguments.surrogates)
    except InvalidInputError as refusal:
        parser.error(str(refusal))
    if arguments.add is not None:
        if not arguments.store:
            parser.error('--add needs --store FILE')
        add(pools, arguments.surrogates, arguments.add, seeds, arguments.store)
        return
    for pair, pool in pools.items():
        found: dict[str, Campaigns] = {}
        for surrogate in arguments.surrogates:
            found[surrogate] = run(pool, surrogate, arms, seeds, most)
            report(pair, surrogate, found[surrogate])
            null(pool, pair, surrogate, max(3, seeds // 2), most)
            stored[f'{pair} {surrogate}'] = {arm: columns(records) for arm, records in found[surrogate].items()}
            if arguments.store:
                write(arguments.store, stored)
        conclude(pair, {surrogate: calls(campaigns) for surrogate, campaigns in found.items()})


if __name__ == '__main__':
    main()
