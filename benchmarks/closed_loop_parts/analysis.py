"""Runs of loops on the stored crystals, and what they say: counts, ratios with intervals, effects of the parts."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
from collections.abc import Sequence

import numpy as np
from active_learning_parts.replay import ARMS as REPLAYED
from numpy.typing import NDArray

from closed_loop_parts.crystals import Crystals
from closed_loop_parts.loop import EVALUATOR, FACTORS, GENERATOR_ALONE, HIT, NEAR, ON, ORACLE, Outcome, Parts, run

ARMS = ('qagenai', 'ion_substitution', 'diffcsp', 'cdvae', 'random')
"""Generators, the package first; the others are given the cell contents that it chose."""

KINDS = ('alone', 'loop')
ACQUISITIONS = {
    name: rule for name, rule in REPLAYED.items() if name not in {'hit-probability', 'thompson', 'lookahead'}
}
"""Other rules to choose what the package computes: those of the replays. The loop itself has the hit probability."""

RESAMPLES = 4000
LOW, HIGH, MISSED, CLOSE, STABLE, ASKED = 1, 2, 3, 4, 5, 6
"""Places of the counts of a system: hits at the low and the high level, those at the high level that PBE misses, what
is near the hull and on it at the high level, and best candidates that were asked for."""

LONG = 20
"""Calculations of the campaigns on which rules to stop are replayed."""

Row = dict[str, t.Any]


def systems_of(crystals: Crystals, name: str) -> list[str]:
    """Return the chemical systems of a test set, in alphabetical order."""
    return sorted(set(crystals.systems[crystals.sets == name].tolist()))


def drawn(crystals: Crystals, name: str, seed: int) -> list[str]:
    """Return the systems of a run: half of the set, rounded up, drawn at random, the same for all arms."""
    systems = systems_of(crystals, name)
    order = np.random.default_rng([seed, 4]).permutation(len(systems))[: (len(systems) + 1) // 2]
    return [systems[place] for place in sorted(order)]


def parts_of(kind: str, number: int) -> Parts:
    """Return the parts of a loop, or none, for a run of as many systems: one calculation for each of them."""
    if kind == 'alone':
        return GENERATOR_ALONE
    loop = Parts(budget=number, batch=max(1, number // 5))
    return loop if kind == 'loop' else dataclasses.replace(loop, acquisition=ACQUISITIONS[kind.removeprefix('loop-')])


def counted(crystals: Crystals, outcome: Outcome, systems: Sequence[str]) -> Row:
    """Return the raw counts of a run: best candidates and hits of each system, calculations and hits among them."""
    top, computed = list(outcome.top), list(outcome.computed)
    hits = crystals.above_hull[:, EVALUATOR] <= HIT
    by_system = {}
    for system in systems:
        mine = [row for row in top if crystals.systems[row] == system]
        missed = hits[mine, 1] & ~hits[mine, 0]
        distance = crystals.above_hull[mine, EVALUATOR[1]]
        counts = (hits[mine, 0], hits[mine, 1], missed, distance <= NEAR, distance <= ON)
        by_system[system] = [len(mine), *(int(each.sum()) for each in counts)]
    return {
        'systems': by_system,
        'asked': len(systems),
        'calls': len(computed),
        'call_hits': int((crystals.above_hull[computed, ORACLE[1]] <= HIT).sum()),
        'low_calls': outcome.low_calls,
        'cycles': [dataclasses.astuple(record)[:4] for record in outcome.history],
    }


def play(crystals: Crystals, name: str, arm: str, parts: Parts | str, seeds: Sequence[int]) -> list[Row]:
    """Return the counts of the runs of a generator in a test set."""
    found = []
    for seed in seeds:
        systems = drawn(crystals, name, seed)
        mine = parts_of(parts, len(systems)) if isinstance(parts, str) else parts
        found.append({'seed': seed, **counted(crystals, run(crystals, arm, systems, mine, seed), systems)})
    return found


def arms_of(crystals: Crystals) -> list[str]:
    """Return the generators whose candidates are stored."""
    present = set(crystals.arms.tolist())
    return [arm for arm in ARMS if arm in present]


def everything(crystals: Crystals, seeds: Sequence[int]) -> dict[str, list[Row]]:
    """Return the runs of every generator, alone and with the loop, and of the package with every acquisition."""
    return {
        f'{name} {arm}-{kind}': play(crystals, name, arm, kind, seeds)
        for name in sorted(set(crystals.sets.tolist()))
        for arm in ARMS
        if ((crystals.sets == name) & (crystals.arms == arm)).any()
        for kind in (*KINDS, *(f'loop-{each}' for each in ACQUISITIONS if arm == ARMS[0]))
    }


def hits_by_system(rows: Sequence[Row], place: int = HIGH) -> dict[str, float]:
    """Return the mean number of hits among the best per run, of each system; 1 for the low level, 2 for the high."""
    found: dict[str, list[int]] = {}
    for row in rows:
        for system, counts in row['systems'].items():
            found.setdefault(system, []).append(counts[place])
    return {system: float(np.mean(values)) for system, values in sorted(found.items())}


def rate(rows: Sequence[Row], place: int = HIGH) -> tuple[int, int]:
    """Return hits, and best candidates that were asked for, over all runs; those that are lacking are no hits."""
    hits = sum(counts[place] for row in rows for counts in row['systems'].values())
    return hits, sum(row['asked'] for row in rows)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    lower: float
    upper: float


def over_systems(rows: Sequence[Row], others: Sequence[Row] | None = None, place: int = HIGH) -> Interval:
    """Return a hit rate, or its ratio to that of another arm, with the interval over chemical systems (bootstrap).

    Both arms have the same systems in the same runs; systems are drawn with repetition. The interval of a ratio is open
    (infinite) where the other arm may find nothing, and there is none where neither finds any.
    """
    first = np.array(list(sums(rows, place).values()))
    second = np.array(list(sums(others, place).values() if others is not None else sums(rows, ASKED).values()))
    drawn_rows = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    with np.errstate(divide='ignore', invalid='ignore'):
        ratios = first[drawn_rows].sum(axis=1) / second[drawn_rows].sum(axis=1)
        value = float(first.sum() / second.sum())
    if np.isnan(ratios).all():
        return Interval(float('nan'), float('nan'), float('nan'))
    lower, upper = np.quantile(ratios[~np.isnan(ratios)], (0.025, 0.975), method='nearest')
    return Interval(value, float(lower), float(upper) if others is not None else min(1.0, float(upper)))


def sums(rows: Sequence[Row], place: int) -> dict[str, float]:
    """Return the hits of each system over all runs, or with ``ASKED`` its share of the best that were asked for."""
    found: dict[str, float] = {}
    for row in rows:
        for system, counts in sorted(row['systems'].items()):
            share = row['asked'] / len(row['systems'])
            found[system] = found.get(system, 0.0) + (share if place == ASKED else counts[place])
    return dict(sorted(found.items()))


def long_campaigns(crystals: Crystals, name: str, seeds: Sequence[int]) -> list[Row]:
    """Return the counts of campaigns of the package that go on until ``LONG`` candidates are computed."""
    parts = dataclasses.replace(Parts(), budget=LONG, batch=2)
    return play(crystals, name, ARMS[0], parts, seeds)


def cells() -> list[dict[str, bool]]:
    """Return all combinations of the parts of a loop."""
    return [dict(zip(FACTORS, values, strict=True)) for values in itertools.product((False, True), repeat=len(FACTORS))]


def factorial(crystals: Crystals, name: str, seeds: Sequence[int]) -> list[Row]:
    """Return hits of the package with every combination of the parts, run by run."""
    found = []
    for cell in cells():
        for seed in seeds:
            systems = drawn(crystals, name, seed)
            parts = dataclasses.replace(parts_of('loop', len(systems)), **cell)
            counts = counted(crystals, run(crystals, ARMS[0], systems, parts, seed), systems)
            hits, asked = rate([counts])
            found.append({**cell, 'seed': seed, 'hits': hits, 'asked': asked, 'call_hits': counts['call_hits']})
    return found


def effects(rows: Sequence[Row], column: str = 'hits') -> list[tuple[str, Interval]]:
    """Return the effect of each part and each pair of parts on hits per run, the largest first.

    Least squares with parts coded −1 and 1, so that an effect is the mean with a part minus the mean without; runs are
    blocks, and standard errors are clustered by run. The tenth digit of a fit differs between processors; it is dropped
    here so that ties keep their order and halves are rounded alike.
    """
    import pandas as pd
    import statsmodels.formula.api as smf

    frame = pd.DataFrame(rows)
    for factor in FACTORS:
        frame[factor] = np.where(frame[factor], 0.5, -0.5)
    formula = f'{column} ~ ({" + ".join(FACTORS)})**2 + C(seed)'
    fit = smf.ols(formula, frame).fit(cov_type='cluster', cov_kwds={'groups': frame['seed']})
    intervals: NDArray[np.float64] = fit.conf_int()
    names = [name for name in fit.params.index if 'Intercept' not in name and 'seed' not in name]
    found = [(name, Interval(*np.round([fit.params[name], *intervals.loc[name]], 9).tolist())) for name in names]
    return sorted(found, key=lambda each: -abs(each[1].value))
