"""Campaigns on a table: what the pools are, and that the arms differ only by what they choose."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import active_learning
from active_learning_parts.intervals import ratio_of_calls
from active_learning_parts.pools import TEACHER, Validated, present, read_pool
from active_learning_parts.replay import replay
from active_learning_parts.surrogates import SURROGATES, Steady, chemical
from active_learning_parts.trials import AHEAD, lookahead, thompson

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, save_arrays

METALS = ('Li', 'Na', 'K', 'Rb', 'Mg', 'Ca', 'Sr', 'Ba', 'Zn', 'Cd', 'Al', 'Ga')
NONMETALS = ('O', 'S', 'Se', 'F', 'Cl', 'Br')


@pytest.fixture(scope='module')
def table(tmp_path_factory) -> Path:
    """Return a table of 72 compounds whose lower level is wrong by 0.4 eV/atom for fluorides, else by some 0.01."""
    rng = np.random.default_rng(0)
    lines = ['mp_id,formula,hf_gga_gga_u,hf_r2scan,hf_ref']
    for metal in METALS:
        for nonmetal in NONMETALS:
            low = rng.uniform(-3, -1)
            error = (0.4 if nonmetal == 'F' else 0.0) + rng.normal(0, 0.01)
            lines.append(f'mp-{len(lines)},{metal}{nonmetal},{low:.4f},{low - error:.4f},')
    path = tmp_path_factory.mktemp('pool') / 'pool.csv'
    path.write_text('\n'.join([*lines, 'mp-0,not a formula,-1,-1,', 'mp-0,NaF2,,-1,']) + '\n')
    return path


@pytest.fixture(scope='module')
def pool(table):
    """Return that pool."""
    return read_pool(table, 'hf_gga_gga_u', 'hf_r2scan')


@pytest.fixture(scope='module')
def validated(tmp_path_factory) -> Path:
    """Return what a validator makes of their crystals: that fluorides are others, by half of how wrong they are."""
    rng = np.random.default_rng(1)
    fluorides = np.tile(np.array(NONMETALS) == 'F', len(METALS))
    arrays = {
        'identifiers': np.array([f'mp-{row + 1}' for row in range(len(fluorides))]),
        'latent': np.column_stack([fluorides, rng.normal(size=(len(fluorides), 2))]).astype(np.float16),
        'levels': np.array(['MP2020 PBE', 'SevenNet-MF-0 r2SCAN']),
        'energies': np.column_stack([0.2 * fluorides, 0 * fluorides]),
        'format_version': np.array(FORMAT_VERSION),
    }
    path = tmp_path_factory.mktemp('validated') / 'validated.npz'
    save_arrays(path, arrays)
    return path


@pytest.fixture(scope='module')
def crystals(table, validated):
    """Return the pool with what the validator makes of its crystals."""
    return read_pool(table, 'hf_gga_gga_u', 'hf_r2scan', Validated.read(validated))


def test_a_pool_has_what_can_be_read(pool):
    """A row without a formula or a level is left out; hits are the largest differences."""
    assert len(pool) == 72 and pool.fractions.shape == (72, 18)
    assert np.allclose(pool.fractions.sum(axis=1), 1)
    assert {pool.formulas[row] for row in np.flatnonzero(pool.hits)} <= {f'{metal}F' for metal in METALS}
    assert (pool.above_hull >= 0).all() and (pool.above_hull < 1e-9).any()


def test_of_a_large_pool_every_campaign_has_others():
    """The pool of the repository is drawn from, the same for the same seed, and known at PBE and r2SCAN."""
    assert present(TEACHER) == ['gga-r2scan']
    whole = read_pool(TEACHER, 'hf_gga_gga_u', 'hf_r2scan')
    first, again, other = whole.drawn(0), whole.drawn(0), whole.drawn(1)
    assert len(first) == 1000 and first.formulas == again.formulas != other.formulas
    place = whole.formulas.index('NiO')
    assert whole.drawn(0, len(whole)) is whole
    assert whole.hits[place]


def test_tables_that_are_none(table):
    """A missing column, and too few compounds, are named."""
    with pytest.raises(InvalidInputError, match='no column energy'):
        read_pool(table, 'hf_gga_gga_u', 'energy')
    with pytest.raises(InvalidInputError, match='cannot be read: No such file'):
        read_pool(table.with_name('none.csv'), 'hf_gga_gga_u', 'energy')
    with pytest.raises(InvalidInputError, match='0 compounds with hf_gga_gga_u and hf_ref: 50 are needed'):
        read_pool(table, 'hf_gga_gga_u', 'hf_ref')


@pytest.mark.parametrize('name', SURROGATES)
def test_surrogates_know_what_they_saw_and_doubt_the_rest(crystals, name):
    """Fluorides are told from oxides; what was computed has the smaller doubt."""
    rows = np.sort(np.random.default_rng(1).permutation(len(crystals))[::2])
    mean, sigma = SURROGATES[name](crystals)(rows, crystals.difference[rows])
    rest = np.setdiff1d(np.arange(len(crystals)), rows)
    assert np.abs(mean - crystals.difference)[rest].mean() < 0.05
    assert sigma[rows].mean() < sigma[rest].mean()


def test_only_compounds_with_crystals_are_left(table, validated, crystals):
    """Those that the validator does not know are left out; the differences that it expects are of the right ones."""
    known = Validated.read(validated)
    places = {name: row for name, row in known.places.items() if row < 60}
    fewer = read_pool(table, 'hf_gga_gga_u', 'hf_r2scan', dataclasses.replace(known, places=places))
    assert len(fewer) == 60 and fewer.latent.shape == (60, 3)
    assert np.allclose(fewer.latent.mean(axis=0), 0) and np.allclose(fewer.latent.std(axis=0), 1)
    assert {formula for formula, head in zip(crystals.formulas, crystals.head, strict=True) if head} == {
        f'{metal}F' for metal in METALS
    }


@pytest.mark.parametrize('name', ['latent', 'delta-head'])
def test_surrogates_of_crystals_are_refused_for_formulas(table, monkeypatch, capsys, name):
    """Before anything is run, with what to do."""
    options = ['--pool', str(table), '--pairs', 'gga-r2scan', '--surrogates', 'linear', name]
    monkeypatch.setattr('sys.argv', ['active_learning.py', *options])
    with pytest.raises(SystemExit):
        active_learning.main()
    captured = capsys.readouterr()
    assert not captured.out and f'--surrogates {name} needs crystals' in captured.err


def test_without_a_calculation_that_surprises_the_head_is_all(crystals):
    """Where differences are those that the validator expects, nothing is left to correct."""
    rows = np.arange(0, len(crystals), 2)
    mean, _ = SURROGATES['delta-head'](crystals)(rows, crystals.head[rows])
    assert np.allclose(mean, crystals.head)


def test_the_surrogate_of_large_pools_is_the_usual_one(pool):
    """Without standard deviations, it expects the same."""
    rows = np.arange(0, len(pool), 3)
    usual, steady = (make(pool)(rows, pool.difference[rows])[0] for make in (chemical, Steady))
    assert np.allclose(usual, steady)


def test_a_campaign_finds_half_of_the_hits_and_is_the_same_again(pool):
    """All arms begin alike; the ceiling needs no more calls than the hits and the initial compounds."""
    model = SURROGATES['chemical'](pool)
    records = {arm: replay(pool, model, arm, seed=3) for arm in ('random', 'hit-probability', 'oracle')}
    assert replay(pool, model, 'hit-probability', seed=3) == records['hit-probability']
    assert len({record.found[:10] for record in records.values()}) == 1
    assert records['oracle'].calls <= records['hit-probability'].calls <= records['random'].calls
    assert all(record.found[-1] == np.ceil(pool.hits.sum() / 2) for record in records.values())


def test_a_joint_prediction_agrees_with_the_single_ones(pool):
    """The covariance has the variances on its diagonal and is positive."""
    model, rows = SURROGATES['chemical'](pool), np.arange(0, len(pool), 3)
    mean, sigma = model(rows, pool.difference[rows])
    joint, covariance = model.joint(rows, pool.difference[rows])
    assert np.allclose(joint, mean) and np.allclose(np.sqrt(np.diag(covariance)), sigma)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_the_average_is_the_best_fit_where_no_other_is_likely(pool, monkeypatch):
    """With only one fit likely enough both surrogates say the same."""
    rows = np.arange(0, len(pool), 2)
    monkeypatch.setattr('active_learning_parts.surrogates.LEAST_WEIGHT', 0.999_999)
    both = [SURROGATES[name](pool)(rows, pool.difference[rows]) for name in ('chemical', 'averaged')]
    assert np.allclose(both[0], both[1])


def test_looking_ahead_prefers_what_tells_about_others():
    """Of two equal chances the one that decides about many others; alone, all that counts is the chance itself."""
    number = AHEAD + 1
    mean, covariance = np.full(2 * number, 0.2), np.eye(2 * number) * 0.04
    covariance[:number, :number] = 0.039 * np.ones((number, number)) + 0.001 * np.eye(number)
    scores = lookahead(mean, covariance, np.ones(2 * number, dtype=bool))
    assert scores[:number].min() > scores[number:].max()
    assert lookahead(mean, covariance, np.arange(2 * number) == 3).argmax() == 3


def test_draws_follow_what_is_expected():
    """A draw of what is nearly certain is the size of its mean."""
    assert thompson(np.array([-1.0, 0.5]), 1e-8 * np.eye(2), seed=0) == pytest.approx([1, 0.5], abs=1e-3)


def test_arms_are_added_to_what_is_stored(table, monkeypatch, capsys, tmp_path):
    """What was stored stays byte for byte, and all of it is compared."""
    stored = tmp_path / 'calls.json'
    common = [
        'active_learning.py',
        '--pool',
        str(table),
        '--pairs',
        'gga-r2scan',
        '--seeds',
        '2',
        '--store',
        str(stored),
    ]
    for arms in (['random', 'hit-probability', 'divergence'], ['lookahead'], []):
        monkeypatch.setattr('sys.argv', [*common, '--surrogates', 'chemical', '--add', *arms])
        before = stored.read_text().splitlines() if stored.exists() else []
        active_learning.main()
        assert {each.rstrip(',') for each in before} <= {each.rstrip(',') for each in stored.read_text().splitlines()}
    lines = {line['name']: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert lines['gga-r2scan-chemical-lookahead-acceleration-over-divergence']['lower'] > 0
    assert lines['gga-r2scan-chemical-acceleration-over-best']['reference'] == 'divergence'


def test_ratios_are_paired():
    """An arm that needs half the calls of every seed is twice as fast without doubt, whatever the seeds."""
    slow = np.array([100, 300, 20, 80])
    assert ratio_of_calls(slow, slow // 2) == pytest.approx((2, 2, 2))
    assert ratio_of_calls(slow, slow[::-1]).lower < 1 < ratio_of_calls(slow, slow[::-1]).upper


def test_the_command_prints_the_figures_and_the_null(table, monkeypatch, capsys, tmp_path):
    """With their intervals; where the differences are dealt out at random nothing is found faster."""
    stored = tmp_path / 'calls.json'
    options = ['--pool', str(table), '--pairs', 'gga-r2scan', '--surrogates', 'chemical', '--quick']
    monkeypatch.setattr('sys.argv', ['active_learning.py', *options, '--store', str(stored)])
    active_learning.main()
    lines = {line['name']: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    over_random = lines['gga-r2scan-chemical-acceleration-over-random']
    assert over_random['lower'] <= over_random['value'] <= over_random['upper'] and over_random['value'] > 1.2
    null = lines['gga-r2scan-chemical-null-acceleration']
    assert null['value'] < over_random['value']
    content = json.loads(stored.read_text())['gga-r2scan chemical']
    assert len(content['oracle']['calls']) == len(content['random']['mae']) == 3
