"""Shares of pools of several sizes that campaigns compute, and what these begin with."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import pool_size
from active_learning_parts.growth import power_of
from active_learning_parts.pools import PAIRS, TEACHER, read_pool
from active_learning_parts.starts import KINDS, start


@pytest.fixture(scope='module')
def pool():
    """Return a hundred crystals of the teacher."""
    return read_pool(TEACHER, *PAIRS['gga-r2scan']).drawn(0, 100)


def test_the_power_of_a_growth_is_found_within_its_interval():
    """And what it says of a larger size is within the interval there, which is wider than where sizes were."""
    rng = np.random.default_rng(0)
    rows = [(size, 3 * size**-0.4 * np.exp(rng.normal(0, 0.05))) for size in (100, 300, 1000, 3000) for _ in range(5)]
    found = power_of(rows)
    assert found.lower < -0.4 < found.upper
    (near, *inside), (far, *outside) = found.at(500), found.at(100_000)
    assert outside[0] < 3 * 100_000**-0.4 < outside[1]
    assert outside[1] / far > inside[1] / near > 1


def test_larger_recall_needs_more_calls_and_the_ceiling_fewest(pool):
    """Half of the hits are found before 80 %, by the ceiling before all."""
    calls = {arm: pool_size.calls_to(pool, arm, 0, 0.15) for arm in pool_size.ARMS}
    assert all(half < most for half, most in calls.values())
    assert calls['oracle'][1] <= calls['divergence'][1] <= calls['random'][1]


@pytest.mark.parametrize('kind', KINDS)
def test_campaigns_begin_with_different_compounds(pool, kind):
    """As many as asked for, none twice, the same for the same seed."""
    first = start(pool, kind, 20, 1)
    assert len(set(first.tolist())) == 20
    assert np.array_equal(first, start(pool, kind, 20, 1))
    if kind == 'extremes':
        assert {int(pool.low.argmin()), int(pool.low.argmax())} == set(first[:2].tolist())


def test_stored_campaigns_are_reported_and_repeated(monkeypatch, capsys):
    """The quick run repeats the first campaigns with the calls that are stored; shares fall with the size."""
    monkeypatch.setattr('sys.argv', ['pool_size.py', '--quick'])
    pool_size.main()
    lines = {line['name']: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert lines['repeated-15']['value'] == lines['repeated-2']['value'] == 1
    assert lines['exponent-2-50-divergence']['upper'] < 0
    assert lines['projected-2-50-divergence']['extrapolated_to'] == 100_000
    usual = lines['start-gga-experiment-random-10']
    assert usual['times_fewer'] == usual['lower'] == usual['upper'] == 1
